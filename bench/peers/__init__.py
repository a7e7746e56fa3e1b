"""Servers to compare Patchbay with. Each is what a good programmer would write in an afternoon with that library."""
