"""Talk from the bus into streams: who has the floor, queues, marks."""
