"""The protocol `patchbay.v1`: a connection listens to many calls, and talks into one."""
