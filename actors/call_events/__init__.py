"""Events of calls: webhooks and the other actors' events come in, `/call-events` and the bus carry them out."""
