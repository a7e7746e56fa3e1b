"""Telnyx as seen from the wire, to try and to test Patchbay against. Imports nothing of the actors."""
