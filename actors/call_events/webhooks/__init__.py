"""Telnyx's webhooks: signatures, intake, and deliveries that were missed."""
