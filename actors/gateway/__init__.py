"""The public port: reads request heads, decides who may in, and hands connections to the actors."""
