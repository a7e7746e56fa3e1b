"""Access tokens, rights, origins, sessions: who may do what. The public port and the actors decide by these modules."""
