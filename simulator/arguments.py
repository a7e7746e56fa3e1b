"""The command line's options. Nothing is read or started here."""

from __future__ import annotations

import argparse
from pathlib import Path

from simulator.codecs import BY_NAME

EXAMPLES = """\
examples:
  python -m simulator                          one call that plays the shipped recording
  python -m simulator demo                     a few calls for ever, until Ctrl-C
  python -m simulator --wav talk.wav --codec PCMA --track both --save-talk heard
                                               heard/*.wav is what was said into the call
  python -m simulator --calls 50 --stagger 0.1 --loop --duration 60
  python -m simulator --shuffle 4 --lose 1 --duplicate 2 --jitter-ms 30 --seed 7
  python -m simulator listen v3:demo-1 --seconds 10 --out call.wav
                                               hear a call as a browser does (listen --help)

The address is that of the settings (PATCHBAY_HOST, PATCHBAY_PORT) unless --url says otherwise.
"""


def call_parser() -> argparse.ArgumentParser:
    """Of `python -m simulator [call|demo]`."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Telnyx as seen from the wire: places calls whose audio streams to Patchbay.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "profile",
        nargs="?",
        choices=("call", "demo"),
        default="call",
        help="demo: three calls that loop for ever, wait for the server and outlive its restarts",
    )
    _peer_options(parser)
    _call_options(parser)
    _fault_options(parser)
    return parser


def listen_parser() -> argparse.ArgumentParser:
    """Of `python -m simulator listen`."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator listen",
        description="Hear a call as a browser does, and keep it.",
        epilog="live: python -m simulator listen v3:demo-1 --out - | aplay -q -t raw -f MU_LAW -r 8000",
    )
    parser.add_argument("call_control_id", nargs="?", help="the call; without it every call at once")
    parser.add_argument("--url", help="ws://HOST:PORT[/frontend-audio]; default: from the settings")
    parser.add_argument("--token", help="access token, where authentication is on")
    parser.add_argument("--track", choices=("inbound", "outbound", "both"), default="inbound")
    parser.add_argument("--seconds", type=_positive, help="stop after so much time")
    parser.add_argument("--out", default="call.wav", metavar="FILE", help="a WAV file; -: raw µ-law to standard output")
    return parser


def _peer_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where to")
    group.add_argument("--url", help="ws://HOST:PORT[/audio-stream], or wss://; default: from the settings")
    group.add_argument("--token", help="stream_auth_token; default: PATCHBAY_TELNYX__STREAM_TOKEN")
    group.add_argument("--webhook-url", metavar="URL", help="default: /api/calls/telnyx/webhook of the same host")
    group.add_argument("--no-webhooks", dest="webhooks", action="store_false", help="send no webhooks")
    group.add_argument(
        "--signing-key-file",
        type=Path,
        metavar="FILE",
        help="sign webhooks: base64 of a 32-byte Ed25519 private key (needs the package cryptography)",
    )
    group.add_argument(
        "--api-port",
        type=_count,
        metavar="PORT",
        help="serve GET /v2/webhook_deliveries there, on loopback (PATCHBAY_TELNYX__API_URL=http://127.0.0.1:PORT/v2)",
    )
    group.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        help="place no call before /readyz answers 200; default in the demo",
    )


def _call_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the calls")
    group.add_argument("--calls", type=_count, metavar="N", help="how many at once; default 1, in the demo 3")
    group.add_argument("--stagger", type=_amount, default=0.0, metavar="S", help="seconds between their starts")
    group.add_argument(
        "--wav", type=Path, action="append", metavar="FILE", help="what is said; given several times: by turns"
    )
    group.add_argument("--codec", choices=tuple(BY_NAME), default="PCMU")
    group.add_argument("--track", choices=("inbound", "outbound", "both"), help="default inbound, in the demo both")
    group.add_argument(
        "--outbound",
        metavar="WHAT",
        help="the outbound track of --track both: a WAV file, silence, shifted (the same clip, half its length later), "
        "or talk (what is said into the call); default shifted, in the demo talk",
    )
    group.add_argument("--loop", action="store_true", default=None, help="begin again at the end of the clip")
    group.add_argument("--duration", type=_positive, metavar="S", help="hang up after so many seconds")
    group.add_argument(
        "--speed", type=_positive, default=1.0, metavar="X", help="send so many times faster; inf: at once"
    )
    group.add_argument("--from", dest="from_number", default="+12025550100", metavar="NUMBER", help="of the first call")
    group.add_argument("--to", dest="to_number", default="+12025550150", metavar="NUMBER", help="of the first call")
    group.add_argument("--call-control-id", metavar="ID", help="instead of a new one; only for one call")
    group.add_argument(
        "--save-talk", type=Path, metavar="DIR", help="write what was played (WAV) and received (JSON lines)"
    )
    group.add_argument("--report", type=_positive, default=5.0, metavar="S", help="seconds between lines of progress")


def _fault_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("faults")
    group.add_argument("--shuffle", type=_count, default=0, metavar="N", help="reorder frames within N")
    group.add_argument("--lose", type=_percent, default=0.0, metavar="PCT", help="leave frames out")
    group.add_argument("--duplicate", type=_percent, default=0.0, metavar="PCT", help="send frames twice")
    group.add_argument("--jitter-ms", type=_amount, default=0.0, metavar="MS", help="send up to so much late")
    group.add_argument("--webhook-double", type=_percent, default=0.0, metavar="PCT", help="deliver webhooks twice")
    group.add_argument(
        "--webhook-shuffle", type=_amount, default=0.0, metavar="S", help="out of order, within S seconds"
    )
    group.add_argument("--webhook-late", type=_amount, default=0.0, metavar="S", help="deliver webhooks so much late")
    group.add_argument(
        "--webhook-dead", type=_percent, default=0.0, metavar="PCT", help="to a dead endpoint: never delivered"
    )
    group.add_argument("--seed", type=int, help="the same faults and ids every time")
    group.add_argument(
        "--reconnect",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="connect again after a drop, with the same ids (default)",
    )
    group.add_argument("--restart-chunks", action="store_true", help="count chunks from 1 again after a reconnect")
    group.add_argument("--shared-chunks", action="store_true", help="count chunks over both tracks")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not an amount")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
    return value
