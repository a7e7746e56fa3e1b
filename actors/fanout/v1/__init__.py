"""Connections that speak `patchbay.v1`: many calls on one socket, listening and talking."""
