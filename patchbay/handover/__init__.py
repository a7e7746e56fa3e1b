"""Connections that outlive their process: what an actor and the gateway tell each other about each."""
