"""Uses the sockets of Linux: event loop, polling, batched sends, passing descriptors; and rate limits and addresses."""
