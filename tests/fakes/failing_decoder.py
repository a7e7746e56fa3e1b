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


class FailingDecoder(process.LimitedDecoder):
    """Fails in the middle of a frame."""

    def _decode(self, request: Request) -> Answer:
        signal.setitimer(signal.ITIMER_PROF, process.PROCESSOR_MAX_S)
        signal.setitimer(signal.ITIMER_REAL, 0.25)
        if request.payload.startswith(CRASH):
            os.kill(os.getpid(), signal.SIGKILL)
        elif request.payload.startswith(SPIN):
            while True:
                pass
        elif request.payload.startswith(SLEEP):
            time.sleep(60)
        elif request.payload.startswith(STOP):
            os.kill(os.getpid(), signal.SIGSTOP)
        answer = super()._decode(request)
        return answer._replace(serial=answer.serial + 1000) if request.payload.startswith(RUBBISH) else answer


if __name__ == "__main__":
    if sys.argv[1] == "without library":
        del sys.argv[1]
        sys.modules["av"] = None  # type: ignore[assignment]
    process.LimitedDecoder = FailingDecoder  # type: ignore[misc]
    sys.exit(process.main())
