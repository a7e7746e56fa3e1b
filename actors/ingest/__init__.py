"""Telnyx's media streams: frames in order to the bus, talk back to Telnyx."""
