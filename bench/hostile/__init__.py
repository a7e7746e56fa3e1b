"""A thousand hostile connections of every kind beside running calls, and what the calls notice of them."""
