"""One actor and its processes: states, restart policy, watchdog, launch, spares, crash reports."""
