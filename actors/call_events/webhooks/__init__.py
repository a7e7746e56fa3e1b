"""Telnyx's webhooks: signatures, recording, and missed deliveries."""
