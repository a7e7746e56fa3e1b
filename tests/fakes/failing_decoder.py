"""`python -m tests.fakes.failing_decoder SOCKET PROGRESS`: the decoder's process, which fails as its frames say."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from actors.fanout.decoder import process

if TYPE_CHECKING:
    from actors.fanout.decoder.messages import Answer, Request

COMMAND = (sys.executable, "-m", "tests.fakes.failing_decoder")
WITHOUT_LIBRARY = (*COMMAND, "without library")
CRASH, SPIN, SLEEP, STOP, RUBBISH = b"crash ", b"spin  ", b"sleep ", b"stop  ", b"rubbish "


decode = process.Decoder._decode


def fail(decoder: process.Decoder, request: Request) -> Answer:
    """Fail in the middle of a frame, within the limits that the process has set for it."""
    limits = [signal.getitimer(which)[0] for which in (signal.ITIMER_PROF, signal.ITIMER_REAL)]
    assert all(limits), "a frame without limits"
    if request.payload.startswith(CRASH):
        os.kill(os.getpid(), signal.SIGKILL)
    elif request.payload.startswith(SPIN):
        signal.setitimer(signal.ITIMER_REAL, 0)  # so that the other limit ends it
        while True:
            pass
    elif request.payload.startswith(SLEEP):
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # what is left of it: not all of its seconds are waited for
        time.sleep(60)
    elif request.payload.startswith(STOP):
        os.kill(os.getpid(), signal.SIGSTOP)
    answer = decode(decoder, request)
    return answer._replace(serial=answer.serial + 1000) if request.payload.startswith(RUBBISH) else answer


if __name__ == "__main__":
    if sys.argv[1] == "without library":
        del sys.argv[1]
        sys.modules["av"] = None  # type: ignore[assignment]
    process.Decoder._decode = fail  # type: ignore[assignment,method-assign]
    sys.exit(process.main())
