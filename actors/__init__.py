"""The processes of a Patchbay: one folder each, with `async def run(context)` in its `actor.py`. No actor imports
another.
"""
