"""Talk from fan-outs into streams: who has the floor, when frames leave, marks."""
