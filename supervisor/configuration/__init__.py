"""From settings to actors: which there are, and what a changed configuration means for them."""
