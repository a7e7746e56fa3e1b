"""From the command line and the settings to the calls that are placed. Reads the WAV files; opens no connection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from simulator.clips import SHIPPED_CLIP, Clip, Echo, Silence, load_clip
from simulator.codecs import BY_NAME
from simulator.deliveries import DeliveryBook, DeliveryFaults
from simulator.faults import Faults
from simulator.identity import new_identity
from simulator.options import CallOptions
from simulator.signing import SigningError, signing_key

if TYPE_CHECKING:
    from argparse import Namespace

    from config import Settings
    from simulator.clips import Source
    from simulator.signing import Sign

WEBHOOK_PATH = "/api/calls/telnyx/webhook"
DEMO_CALLS = 3
FOR_EVER_S = float("inf")


class ProfileError(Exception):
    """The options can't be used as they are. The text says why."""


class Profile:
    """What is to be placed. Blocks while it reads files. Raises ProfileError, ClipError, SigningError."""

    def __init__(self, arguments: Namespace, settings: Settings) -> None:
        self.is_demo: bool = arguments.profile == "demo"
        self.url = stream_url(arguments.url, settings, "/audio-stream")
        self.calls: int = arguments.calls or (DEMO_CALLS if self.is_demo else 1)
        self.keep = self.is_demo and arguments.duration is None
        self.wait: bool = self.is_demo if arguments.wait is None else arguments.wait
        self.stagger_s: float = arguments.stagger
        self.api_port: int | None = arguments.api_port
        self.api_key = settings.telnyx.api_key
        self.deliveries = DeliveryBook()
        self._arguments = arguments
        self._codec = BY_NAME[arguments.codec]
        self._random = Random(arguments.seed)
        self._token: str | None = arguments.token or settings.telnyx.stream_token
        self._sign = _signer(arguments.signing_key_file)
        self._clips = [load_clip(path, self._codec) for path in arguments.wav or [SHIPPED_CLIP]]
        self._outbound = self._second_clip(arguments.outbound)
        if arguments.call_control_id and self.calls > 1:
            raise ProfileError("--call-control-id is for one call, not for several")

    @property
    def page_url(self) -> str:
        """Where to look."""
        return on_same_host(self.url, "/")

    @property
    def ready_url(self) -> str | None:
        return on_same_host(self.url, "/readyz") if self.wait else None

    def call_control_id(self, index: int) -> str | None:
        """A fixed id; None: a new one each time. The demo's stay, so that a listener finds them again."""
        chosen: str | None = self._arguments.call_control_id
        return f"v3:demo-{index + 1}" if self.is_demo and not chosen else chosen

    def numbers(self, index: int) -> tuple[str, str]:
        """From and to of a call."""
        return nth_number(self._arguments.from_number, index), nth_number(self._arguments.to_number, index)

    def options(self, index: int) -> CallOptions:
        """The n-th call; each time with ids of its own."""
        arguments, (from_number, to_number) = self._arguments, self.numbers(index)
        identity = new_identity(
            self._random,
            from_number=from_number,
            to_number=to_number,
            call_control_id=self.call_control_id(index),
        )
        return CallOptions(
            url=self.url,
            identity=identity,
            codec=self._codec,
            tracks=self._tracks(index),
            duration_s=arguments.duration,
            speed=arguments.speed,
            token=self._token,
            faults=self._faults(),
            seed=self._random.getrandbits(32),
            reconnect=arguments.reconnect,
            reconnect_for_s=FOR_EVER_S if self.keep else CallOptions.reconnect_for_s,
            restart_chunks=arguments.restart_chunks,
            shared_chunks=arguments.shared_chunks,
            record=False,
            save_talk=arguments.save_talk,
            save_name=None if arguments.call_control_id else f"call-{index + 1}",
            webhook_url=self._webhook_url(),
            sign=self._sign,
            delivery_faults=self._delivery_faults(),
            deliveries=self.deliveries,
        )

    def _tracks(self, index: int) -> dict[str, Source]:
        clip = self._clips[index % len(self._clips)]
        loop = self.is_demo if self._arguments.loop is None else True
        if self.is_demo:
            clip = clip.shifted(index * len(clip.frames) // self.calls)  # so that the calls are told apart by ear
        track = self._arguments.track or ("both" if self.is_demo else "inbound")
        first: Source = clip.looped() if loop else clip
        return {"inbound": first, "outbound": self._second(clip, loop)} if track == "both" else {track: first}

    def _second(self, clip: Clip, loop: bool) -> Source:
        what = self._arguments.outbound or ("talk" if self.is_demo else "shifted")
        if what == "silence":
            return Silence(self._codec)
        if what == "talk":
            return Echo(self._codec)
        second = self._outbound or clip.shifted(len(clip.frames) // 2)
        return replace(second, loop=loop)

    def _second_clip(self, what: str | None) -> Clip | None:
        if what in (None, "silence", "talk", "shifted"):
            return None
        return load_clip(Path(str(what)), self._codec)

    def _faults(self) -> Faults:
        arguments = self._arguments
        return Faults(
            shuffle=arguments.shuffle,
            lose_pct=arguments.lose,
            duplicate_pct=arguments.duplicate,
            jitter_ms=arguments.jitter_ms,
        )

    def _delivery_faults(self) -> DeliveryFaults:
        arguments = self._arguments
        return DeliveryFaults(
            doubled_pct=arguments.webhook_double,
            late_s=arguments.webhook_late,
            shuffle_s=arguments.webhook_shuffle,
            dead_pct=arguments.webhook_dead,
        )

    def _webhook_url(self) -> str | None:
        if not self._arguments.webhooks:
            return None
        return self._arguments.webhook_url or on_same_host(self.url, WEBHOOK_PATH)


def stream_url(given: str | None, settings: Settings, path: str) -> str:
    """The URL of a WebSocket: as given, with a path when it has none, or of the settings' public port."""
    if given is None:
        return f"ws://{_reachable(settings.host)}:{settings.port}{path}"
    parts = urlsplit(given)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ProfileError(f"--url {given}: expected ws://HOST:PORT or wss://HOST")
    return urlunsplit(parts._replace(path=parts.path if parts.path.strip("/") else path))


def on_same_host(url: str, path: str) -> str:
    """The http URL of a path where a WebSocket URL points to."""
    parts = urlsplit(url)
    return urlunsplit(("https" if parts.scheme == "wss" else "http", parts.netloc, path, "", ""))


def nth_number(first: str, index: int) -> str:
    """Count a phone number up, keeping its form; what is no number stays."""
    digits = first.removeprefix("+")
    if not digits.isdecimal():
        return first
    return first[: len(first) - len(digits)] + str(int(digits) + index).zfill(len(digits))


def _reachable(host: str) -> str:
    """An address to connect to, of one that is listened on."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _signer(path: Path | None) -> Sign | None:
    if path is None:
        return None
    try:
        return signing_key(path.read_text(encoding="ascii")).sign
    except (OSError, UnicodeDecodeError) as error:
        raise SigningError(f"{path}: {error}") from error
