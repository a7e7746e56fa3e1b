"""Access tokens, rights, origins and sessions, for the public port and the actors alike."""
