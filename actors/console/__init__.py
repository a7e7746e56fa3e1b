"""For people and probes: pages, health, the list of live calls, metrics."""
