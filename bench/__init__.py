"""Benchmarks: Patchbay beside what else could do its work, and Patchbay while its processes are killed."""
