"""Takes over from the supervisor before: adopts its processes, or goes on from the snapshot of its program."""
