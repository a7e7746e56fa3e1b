"""The public port: reads request heads, decides who may connect, and hands connections to the actors."""
