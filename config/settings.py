"""Every setting, with its default and what it means.

Pure data: reading files and the environment is `config.loader`'s, checks between settings are `config.checks`'s.
A setting `section.key` is `[section] key = …` in TOML and `PATCHBAY_SECTION__KEY` in the environment.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every group of settings has in common: unknown keys are refused, nothing changes after start."""


class AuthSettings(Section, frozen=True):
    """Who may connect (contract: authentication). Off is for a laptop: the port must then be on loopback."""

    enabled: bool = False
    jwt_secret: str | None = None  # HS256 secret for frontends' tokens; at least 32 bytes
    jwt_public_key: str | None = None  # PEM, EdDSA, instead of the secret
    allowed_origins: tuple[str, ...] = ()  # browsers' Origins that may connect; empty: any
    leeway_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0  # clock difference forgiven in `exp`


class TelnyxSettings(Section, frozen=True):
    """What Telnyx shows us, and what we show Telnyx."""

    public_key: str | None = None  # base64 Ed25519 key that webhooks are signed with
    stream_token: str | None = None  # what `x-telnyx-streaming-auth-token` must be
    include_stream_id: bool = False  # add `stream_id` to frames sent; some set-ups are said to want it


class GatewaySettings(Section, frozen=True):
    """The public port."""

    head_max_bytes: Count = 16 * 1024  # a longer request head is answered 431
    head_timeout_s: Positive = 5.0  # a head not complete by then is answered 408
    park_time_s: Positive = 10.0  # how long a connection waits for its actor's next process
    max_connections: Count = 20_000  # in all; one more is answered 503
    note_max_bytes: Count = 16 * 1024  # what an actor may have kept with a connection


class IngestSettings(Section, frozen=True):
    """Telnyx's media streams."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    message_max_bytes: Count = 1024 * 1024  # a longer WebSocket message closes the connection with 1009
    reorder_frames: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4  # at most this many held for a missing one
    reorder_ms: Positive = 80.0  # and at most this long
    rubbish_limit: Count = 100  # this many unreadable messages in a row close the connection
    linger_ms: Annotated[float, msgspec.Meta(ge=0, le=5)] = 2.0  # frames of so long leave in one round, under load
    cold_read_ms: Positive = 100.0  # how often a call that nobody listens to is read


class FanoutSettings(Section, frozen=True):
    """Browsers that listen and talk."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    message_max_bytes: Count = 64 * 1024  # a longer WebSocket message closes the connection with 1009
    queue_ms: Positive = 400.0  # audio kept for a listener that does not read; then the oldest goes
    replay_ms: Annotated[float, msgspec.Meta(ge=0, le=5000)] = 300.0  # audio a late listener gets at once
    send_buffer_bytes: Count = 32 * 1024  # the kernel's share of a listener's queue
    ping_interval_s: Positive = 20.0  # an idle connection is asked this often whether it is there
    ping_timeout_s: Positive = 20.0  # and aborted when it has not answered by then


class TalkSettings(Section, frozen=True):
    """From a browser to Telnyx."""

    lead_ms: Annotated[float, msgspec.Meta(ge=20, le=1000)] = 80.0  # how far ahead of real time frames may be sent
    backlog_ms: Positive = 3000.0  # talk waiting to be sent; then the oldest goes
    drain_ms: Positive = 400.0  # above this backlog silent frames are left out until it is gone
    release_ms: Positive = 1000.0  # the floor falls free after this long without a word


class EventSettings(Section, frozen=True):
    """Webhooks and call events."""

    webhook_max_bytes: Count = 256 * 1024  # a larger body is answered 413
    client_queue: Count = 1000  # events kept for a client that does not read; then it is closed
    kept: Count = 1000  # events kept in memory for clients that come back with `since`
    kept_max_bytes: Count = 16 * 1024 * 1024  # and at most so much of them
    remembered_ids: Count = 50_000  # an event with one of these ids is a repeat
    unacknowledged_max: Count = 10_000  # events a sender keeps until they are acknowledged


class ConsoleSettings(Section, frozen=True):
    """Pages, health and the list of calls."""

    body_max_bytes: Count = 64 * 1024
    keep_alive_s: Positive = 15.0


class SupervisorSettings(Section, frozen=True):
    """Life and death of the actors."""

    stop_timeout_s: Positive = 4.0  # everything is gone by then
    start_timeout_s: Positive = 20.0  # an actor that is not ready by then is started again
    backoff_first_s: Positive = 0.1
    backoff_max_s: Positive = 30.0
    backoff_reset_s: Positive = 1.0  # READY for so long forgets earlier failures
    intensity: Count = 5  # more restarts than this …
    intensity_period_s: Positive = 30.0  # … in this time, and an actor is FAILED: tried at the longest back-off only
    watchdog_s: Positive = 5.0  # an actor's loop that has not been heard of for so long is hung
    grace_s: Positive = 30.0  # actors without a supervisor stop by themselves after this


class LogSettings(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"  # auto: text on a terminal, JSON lines elsewhere


class Settings(Section, frozen=True):
    """All of it."""

    host: str = "127.0.0.1"  # address of the public port
    port: Port = 5006
    run_dir: str = ""  # Unix and ZeroMQ sockets, 0700; empty: a directory of this user's
    data_dir: str = "var"  # the journal, crash reports
    auth: AuthSettings = AuthSettings()
    telnyx: TelnyxSettings = TelnyxSettings()
    gateway: GatewaySettings = GatewaySettings()
    ingest: IngestSettings = IngestSettings()
    fanout: FanoutSettings = FanoutSettings()
    talk: TalkSettings = TalkSettings()
    events: EventSettings = EventSettings()
    console: ConsoleSettings = ConsoleSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    log: LogSettings = LogSettings()
