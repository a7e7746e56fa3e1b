"""Many `/call-events` clients and a steady stream of webhooks: `python -m tests.e2e.event_crowd --clients 2000 --rate
50`.

Prints how long it takes from the sending of a webhook until it has been read by each client, how long the webhooks'
answers take, the processor time of call_events, and what a client costs in memory.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import socket
import sys
import time
from pathlib import Path

import trio

from tests.e2e.event_storm import SETTINGS, pid_of
from tests.e2e.event_wire import PUBLIC_KEY, Poster, webhook
from tests.e2e.system import System, running_system

HEAD = (
    b"GET /call-events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SENT = re.compile(rb'"note":"(\d+)"')
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
DRAIN_S = 2.0


class Crowd:
    """Clients that read at once, in one process.

    Attributes:
        delays: seconds from sending to reading, of every event of every client.
    """

    def __init__(self, port: int, count: int) -> None:
        self.delays: list[float] = []
        self._epoll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(HEAD)
            self._socks[sock.fileno()] = sock
        for sock in self._socks.values():
            heard = b""
            while b"Connected to call events" not in heard:
                heard += sock.recv(4096)
            sock.setblocking(False)
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def read(self) -> None:
        """Read what is there. A frame that is cut in two by a reading is not counted, which is rare."""
        delays, socks = self.delays, self._socks
        for fd, _ in self._epoll.poll(0):
            data = socks[fd].recv(262_144)
            if not data:
                raise ConnectionError("a client was closed")
            now = time.monotonic_ns()
            delays.extend((now - int(sent)) / 1e9 for sent in SENT.findall(data))

    async def run(self) -> None:
        """Read for ever."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            self.read()


def memory_kib(pid: int) -> int:
    """What a process holds of its own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


def cpu_s(pid: int) -> float:
    """The processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def quantiles(values: list[float]) -> str:
    """In ms."""
    values = sorted(values)
    shown = ((50, "p50"), (99, "p99"), (99.9, "p99.9"))
    parts = [f"{name} {values[min(int(len(values) * part / 100), len(values) - 1)] * 1000:.1f}" for part, name in shown]
    return f"{', '.join(parts)}, max {values[-1] * 1000:.1f} ms"


async def post_steadily(port: int, rate: float, seconds: float) -> list[float]:
    """Post at a rate, on a few connections; returns how long each answer of 200 took."""
    took: list[float] = []
    send, receive = trio.open_memory_channel[int](1000)

    async def post(numbers: trio.MemoryReceiveChannel[int]) -> None:
        poster = Poster(port)
        async for number in numbers:
            began = time.monotonic_ns()
            if await poster.post(webhook(number, str(began))) == 200:
                took.append((time.monotonic_ns() - began) / 1e9)
        await poster.aclose()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(post, receive.clone())
        start = trio.current_time()
        async with send:
            for number in range(int(rate * seconds)):
                await trio.sleep_until(start + number / rate)
                await send.send(number)
    return took


async def measure(system: System, clients: int, rate: float, seconds: float) -> list[str]:
    """One measurement, in lines of text."""
    pids = {name: await pid_of(system, name) or 0 for name in ("call_events", "gateway")}
    before = {name: memory_kib(pid) for name, pid in pids.items()}
    crowd = await trio.to_thread.run_sync(Crowd, system.port, clients)
    joined = {name: memory_kib(pid) for name, pid in pids.items()}
    began, used = time.monotonic(), cpu_s(pids["call_events"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.run)
        took = await post_steadily(system.port, rate, seconds)
        busy = (cpu_s(pids["call_events"]) - used) / (time.monotonic() - began)
        await trio.sleep(DRAIN_S)
        nursery.cancel_scope.cancel()
    each = {name: (joined[name] - before[name]) / clients for name in pids}
    return [
        f"{clients} clients, {rate:g} events/s for {seconds:g} s, {len(took)} answered 200: {len(crowd.delays)} of {len(took) * clients} readings timed",
        f"delivery:  {quantiles(crowd.delays)}",
        f"webhooks:  {quantiles(took)}",
        f"processor: {busy:.0%} of a core in call_events",
        f"memory:    {each['call_events']:.1f} KiB a client in call_events, {each['gateway']:.1f} KiB in the gateway",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    settings = {**SETTINGS, "GATEWAY__CONNECTIONS_PER_ADDRESS": "20000", "TELNYX__PUBLIC_KEY": PUBLIC_KEY}
    with running_system(**settings) as system:
        lines = trio.run(measure, system, arguments.clients, arguments.rate, arguments.seconds)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
