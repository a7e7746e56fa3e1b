"""What people ask of a running supervisor: the command line, the control socket, the answers."""
