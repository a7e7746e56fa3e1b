"""An actor for tests: says READY, beats, drains on SIGTERM, says hello to the next supervisor.

Run as a program; how it misbehaves is in FAKE_ACTOR, comma separated words, each alone or as `instance:word`. How long
it looks for the next supervisor is in FAKE_ACTOR_GRACE_S.
"""

from __future__ import annotations

import array
import faulthandler
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

RETRY_S = 0.05
GRACE_S = float(os.environ.get("FAKE_ACTOR_GRACE_S", "60"))  # without a supervisor


def main(name: str) -> int:
    index = int(os.environ["PATCHBAY_ACTOR_INDEX"])
    generation = int(os.environ["PATCHBAY_ACTOR_GENERATION"])
    fds = dict(pair.split(":") for pair in os.environ["PATCHBAY_ACTOR_FDS"].split(","))
    faulthandler.enable(file=int(fds["crashlog"]))
    ways = behaviour(f"{name}.{index}", generation)
    if "deaf" in ways:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for way in ways:
        if way.startswith("exit="):
            os.write(int(fds["crashlog"]), b"the wrong configuration\n")
            return int(way.removeprefix("exit="))
    if "mute" not in ways:
        notify("READY=1\nWATCHDOG=1\nSTATUS=serving\nX_FRAMES_IN=1")
    beats = "hang" not in ways
    lifeline = int(os.environ["PATCHBAY_ACTOR_LIFELINE"])
    while True:
        if select.select([lifeline], [], [], 0.1)[0]:
            lifeline = find_supervisor(name, index, generation, fds)
        if beats:
            notify("WATCHDOG=1")


def behaviour(instance: str, generation: int) -> list[str]:
    """Return the words that are meant for this process; `@2` at the end: from that generation on."""
    meant = []
    path = os.environ.get("FAKE_ACTOR_FILE")
    text = Path(path).read_text(encoding="utf-8") if path and Path(path).exists() else ""
    for word in (os.environ.get("FAKE_ACTOR", "") + "," + text.strip()).split(","):
        who, separator, way = word.rpartition(":")
        if separator and who != instance:
            continue
        way, _, since = way.partition("@")
        if way and generation >= int(since or 0):
            meant.append(way)
    return meant


def notify(text: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
        except OSError:
            return


def find_supervisor(name: str, index: int, generation: int, fds: dict[str, str]) -> int:
    """Return the descriptor that is the life line to the next supervisor."""
    about = {"name": name, "index": index, "pid": os.getpid(), "generation": generation}
    hello = json.dumps({"hello": {**about, "ready": True, "fds": list(fds)}}).encode()
    rights = array.array("i", [int(fd) for fd in fds.values()])
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(str(Path(os.environ["NOTIFY_SOCKET"]).with_name("supervisor.sock")))
            sock.sendmsg([hello], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            if json.loads(sock.recv(4096) or b"{}").get("ok"):
                return sock.detach()
        except OSError:
            pass
        sock.close()
        time.sleep(RETRY_S)
    sys.exit(0)


def spare(link: socket.socket) -> int:
    """Wait to be told which actor it is, as `patchbay.process.spare` does."""
    with link:
        link.send(b"loaded")
        packet, fds, _, _ = socket.recv_fds(link, 65536, 64)
    if not packet:
        return 0
    order = json.loads(packet)
    named = zip(order["fds"], fds, strict=True)
    os.environ.update(order["environ"], PATCHBAY_ACTOR_FDS=",".join(f"{name}:{fd}" for name, fd in named))
    return main(order["name"])


if __name__ == "__main__":
    name, *link = sys.argv[1:]
    sys.exit(spare(socket.socket(fileno=int(link[0]))) if link else main(name))
