"""Clients of `/call-events`: what each wants, how far it is, and the writing to it."""
