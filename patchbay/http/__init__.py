"""HTTP/1.1: request heads, bodies, routes, answers, static files."""
