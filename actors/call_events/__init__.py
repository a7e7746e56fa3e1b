"""Events of calls: webhooks and the other actors' events come in, `/call-events` carries them out."""
