"""`python -m bench`."""

from __future__ import annotations

import signal
import sys

from bench import cli, cluster
from bench.chaos import cli as chaos
from bench.hostile import cli as hostile

signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped on the way out, as by Ctrl-C
if sys.argv[1:2] == ["chaos"]:
    sys.exit(chaos.main(sys.argv[2:]))
if sys.argv[1:2] == ["hostile"]:
    sys.exit(hostile.main(sys.argv[2:]))
if sys.argv[1:2] == ["cluster"]:
    sys.exit(cluster.main(sys.argv[2:]))
sys.exit(cli.main(sys.argv[1:]))
