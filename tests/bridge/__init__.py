"""Tests of the bridge's parts, without sockets and without Redis."""
