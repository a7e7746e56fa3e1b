"""Keeps actors running: states, restart policy, watchdog, start of processes, spares, crash reports."""
