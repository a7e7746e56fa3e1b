"""Plans actors from settings, and applies a changed configuration to those that run."""
