"""The page, health, the list of live calls, metrics, and restarts over HTTP."""
