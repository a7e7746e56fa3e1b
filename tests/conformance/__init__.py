"""The Autobahn cases against Patchbay's WebSockets, through the real gateway: `python -m tests.conformance`."""
