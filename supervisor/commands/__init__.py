"""Carries out commands: the command lines, the control socket, the answers."""
