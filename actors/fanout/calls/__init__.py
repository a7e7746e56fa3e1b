"""Live calls as fan-out knows them: who hears which, in which encoding, and what is asked of the bus."""
