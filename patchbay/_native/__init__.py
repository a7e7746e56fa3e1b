"""Holds the hot paths in C, which the Python elsewhere specifies, and the loader that binds them to its classes."""
