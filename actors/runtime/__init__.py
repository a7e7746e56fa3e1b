"""What every actor runs on: life cycle, bus, connections that were handed over, logs."""
