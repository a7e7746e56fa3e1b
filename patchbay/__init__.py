"""Rooms that every process is made of. Imports settings from `config`, and nothing of `actors` or `supervisor`."""
