"""Starts, watches, restarts, rolls and stops the actors. Imports `config` and `patchbay`, never `actors`."""
