"""Sockets as Linux has them: the event loop, polling, descriptors between processes, batched sends, rate limits,
addresses.
"""
