"""Kills, hangs and replaces Patchbay's processes under load, and counts what callers and listeners notice of it."""
