"""Supervisors that come and go: processes that outlived one, and the upgrade of the program in place."""
