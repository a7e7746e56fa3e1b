"""Hands connections over between the gateway and the actors, so that they outlive their process."""
