"""Live calls as fan-out knows them: their subscribers, encodings, and topics on the bus."""
