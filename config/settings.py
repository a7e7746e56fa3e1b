"""Declares every setting, with its default and its meaning.

`config.loader` reads them from a file and the environment, `config.checks` checks rules between them.
A setting `section.key` is `[section] key = …` in TOML and `PATCHBAY_SECTION__KEY` in the environment.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec

DEFAULT_PROCESSES_MAX = 8  # of the default; a setting may be higher
BRIDGE_PORT = 5007  # for other nodes, where `cluster.advertise` names none

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


# Settings whose values are shown nowhere. Each can also be read from a file, which `<name>_file` names.
SECRETS = frozenset({"jwt_secret", "stream_token", "api_key", "redis_url"})


def default_processes() -> int:
    """One ingest and one fan-out process for every two processors that this process may use."""
    return max(1, min(DEFAULT_PROCESSES_MAX, len(os.sched_getaffinity(0)) // 2))


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Is the base of all groups of settings, which refuse unknown keys and never change."""

    def __repr__(self) -> str:
        """Return the fields as msgspec would, but secrets as `***`."""
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__)
        told = (f"{name}={'***' if name in SECRETS and value else repr(value)}" for name, value in shown)
        return f"{type(self).__name__}({', '.join(told)})"


class AuthSettings(Section, frozen=True):
    """Who may connect (contract: authentication). Off is for a laptop: the port must then be on loopback."""

    enabled: bool = False  # whether tokens and signatures are asked for
    jwt_secret: str | None = None  # HS256 secret for frontends' tokens; at least 32 bytes
    jwt_secret_file: str | None = None  # a file that holds it; nobody else may read that
    jwt_public_key: str | None = None  # PEM, EdDSA, instead of the secret
    jwt_public_key_file: str | None = None  # a file that holds it
    allowed_origins: tuple[str, ...] = ()  # Origins of pages that may connect; empty: any, or (off) this machine's only
    anonymous_networks: tuple[str, ...] = ()  # who comes from there without a token may listen, talk and see events
    leeway_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0  # clock difference forgiven in `exp`


class TelnyxSettings(Section, frozen=True):
    """What Telnyx shows us, and what we show Telnyx."""

    public_key: tuple[str, ...] = ()  # base64 Ed25519 keys that webhooks may be signed with: one, or two in a rotation
    api_key: str | None = None  # of Telnyx's API; with it, webhooks that were missed are fetched
    api_key_file: str | None = None  # a file that holds it; nobody else may read that
    api_url: str = "https://api.telnyx.com/v2"  # where
    stream_token: str | None = None  # what `x-telnyx-streaming-auth-token` must be
    stream_token_file: str | None = None  # a file that holds it; nobody else may read that
    stream_networks: tuple[str, ...] = ()  # where media streams may come from, as 192.0.2.0/24; empty: anywhere
    include_stream_id: bool = False  # add `stream_id` to frames sent; some set-ups are said to want it


class GatewaySettings(Section, frozen=True):
    """The public port."""

    head_max_bytes: Annotated[int, msgspec.Meta(ge=1, le=32 * 1024)] = (
        16 * 1024
    )  # a longer request head is answered 431
    head_timeout_s: Positive = 5.0  # a head not complete by then is answered 408
    park_time_s: Positive = 10.0  # how long a connection waits for its actor's next process
    max_connections: Count = 20_000  # in all, but for media streams; one more is answered 503
    max_streams: Count = 5_000  # media streams; one more is answered 503
    carrier_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5  # of them, kept for those with telnyx.stream_token
    streams_per_address: Count = 2_000  # media streams with other tokens; one more is answered 429
    streams_per_token: Count = 1_000  # of one `sub`, likewise
    max_heads: Count = 1_000  # connections whose heads are being read; one more ends the one that waits longest
    connections_per_address: Count = 2_000  # one more is answered 429, as are those that follow
    connections_per_token: Count = 500  # of one `sub`
    event_clients_per_token: Count = 200  # of them, on /call-events
    handshakes_per_s: Positive = 100.0  # requests of one address, in the long run; more are answered 429
    handshakes_burst: Count = 500  # and at once
    token_handshakes_per_s: Positive = 100.0  # requests with tokens of one `sub`, from wherever; more are answered 429
    token_handshakes_burst: Count = 1_000  # and at once
    trusted_proxies: Annotated[int, msgspec.Meta(ge=0, le=16)] = 1  # whose word in X-Forwarded-For counts, from its end
    proxy_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # where the last of them connects from
    note_max_bytes: Annotated[int, msgspec.Meta(ge=1, le=32 * 1024)] = (
        16 * 1024
    )  # what an actor may have kept with a connection


class IngestSettings(Section, frozen=True):
    """Telnyx's media streams."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = msgspec.field(default_factory=default_processes)
    message_max_bytes: Count = 1024 * 1024  # a longer WebSocket message closes the connection with 1009
    reorder_frames: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4  # at most this many held for a missing one
    reorder_ms: Positive = 80.0  # and at most this long
    rubbish_limit: Count = 100  # this many unreadable messages in a row close the connection
    message_timeout_s: Positive = 30.0  # a message that is not whole by then closes the connection with 1008
    messages_per_s: Positive = 1_000.0  # frames of one stream, in the long run; more closes it with 4506
    messages_burst: Count = 20_000  # and at once: what the network held back for a while comes in one go
    events_per_s: Positive = 20.0  # keys, marks and errors of one stream that are recorded, in the long run
    events_burst: Count = 200  # and at once; the rest is counted, and told as one event
    start_timeout_s: Positive = 10.0  # a stream that has sent no start frame by then is closed with 1008
    linger_ms: Annotated[float, msgspec.Meta(gt=0, le=5)] = 5.0  # frames of so long leave in one round, under load
    cold_read_ms: Positive = 500.0  # how often a call that nobody listens to is read
    announced_within_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # only calls that a webhook announced; 0: any
    ping_interval_s: Positive = 30.0  # a stream that sends nothing is asked this often whether it is there
    ping_timeout_s: Positive = 60.0  # and ended when it has not answered by then


class FanoutSettings(Section, frozen=True):
    """Browsers that listen and talk."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = msgspec.field(default_factory=default_processes)
    message_max_bytes: Count = 512 * 1024  # a longer WebSocket message (text: over 30 s of talk) closes it with 1009
    message_timeout_s: Positive = 30.0  # one that is not whole by then closes it with 1008; also of call events
    linger_ms: Annotated[float, msgspec.Meta(gt=0, le=5)] = 5.0  # talk of so long leaves in one round, under load
    queue_ms: Positive = 400.0  # audio kept for a listener that does not read; then the oldest goes
    replay_ms: Annotated[float, msgspec.Meta(ge=0, le=5000)] = 300.0  # audio a late listener gets at once
    send_buffer_bytes: Count = 32 * 1024  # the kernel's share of a listener's queue
    ping_interval_s: Positive = 20.0  # an idle connection is asked this often whether it is there
    ping_timeout_s: Positive = 20.0  # and aborted when it has not answered by then
    listeners_per_call: Count = 10_000  # one more is answered 429
    subscriptions_per_token: Count = 5_000  # calls that all connections of one `sub` name, in each process
    messages_per_s: Positive = 2_000.0  # frames of one connection, in the long run; more closes it with 4506
    messages_burst: Count = 10_000  # and at once
    requests_per_s: Positive = 20.0  # `subscribe`, `talk.start` and `token` of one connection, in the long run
    requests_burst: Count = 500  # and at once; more are answered with error 200018
    token_messages_per_s: Positive = 10_000.0  # of all connections of one `sub`, in each process; likewise
    token_messages_burst: Count = 20_000  # and at once
    lifetime_s: Positive = 86_400.0  # a connection that has lasted so long is closed with 4009: come back


class TalkSettings(Section, frozen=True):
    """From a browser to Telnyx."""

    lead_ms: Annotated[float, msgspec.Meta(ge=20, le=1000)] = 80.0  # how far ahead of real time frames may be sent
    backlog_ms: Positive = 30_000.0  # talk waiting to be sent; what comes beyond that is dropped, and the talker told
    drain_ms: Positive = 400.0  # a live talker's silent frames are left out while it stays further behind than this
    release_ms: Positive = 1000.0  # the floor falls free after this long without a word
    burst_ms: Positive = 60_000.0  # how far ahead of real time a talker may send; then whole messages are dropped


class EventSettings(Section, frozen=True):
    """Webhooks and call events."""

    webhook_max_bytes: Count = 256 * 1024  # a larger body is answered 413
    bodies_max_bytes: Count = 32 * 1024 * 1024  # of all webhooks that are received; then the slowest is answered 503
    signature_tolerance_s: Positive = 300.0  # a webhook signed longer ago, or later from now, is refused
    waiting_max: Count = 5000  # events that wait for the journal; one more is answered 503
    commit_timeout_s: Positive = 1.5  # an event that is not in the journal by then is answered 503; Telnyx waits 2 s
    kept: Annotated[int, msgspec.Meta(ge=600)] = 1000  # newest events in memory; older ones are read from the journal
    kept_max_bytes: Count = 16 * 1024 * 1024  # and at most so much of them
    keep_days: Positive = 30.0  # events in the journal; older ones go
    journal_max_mb: Count = 1024  # and at most so much of them; the oldest go
    stall_s: Positive = 10.0  # a client that reads nothing for so long while events wait is closed with 4008
    lost_after_s: Positive = 15_000.0  # a call without a sign of life for so long is lost; Telnyx ends calls at 14 400
    unacknowledged_max: Count = 10_000  # events a sender keeps until they are acknowledged; keys and marks beside them
    message_max_bytes: Count = 64 * 1024  # a longer WebSocket message of a client closes its connection with 1009
    messages_per_s: Positive = 50.0  # frames of one client, in the long run; more closes it with 4506
    messages_burst: Count = 1_000  # and at once
    token_messages_per_s: Positive = 500.0  # of all clients of one `sub`; likewise
    token_messages_burst: Count = 5_000  # and at once


class ConsoleSettings(Section, frozen=True):
    """Pages, health and the list of calls."""

    body_max_bytes: Count = 64 * 1024  # a longer request body is answered 413
    keep_alive_s: Positive = 15.0  # an idle HTTP connection is closed after this; also those of webhooks


class SupervisorSettings(Section, frozen=True):
    """Life and death of the actors."""

    stop_timeout_s: Positive = 4.0  # everything is gone by then
    start_timeout_s: Positive = 20.0  # an actor that is not ready by then is started again
    backoff_first_s: Positive = 0.1  # the wait before an actor that ended is started again; it doubles each time …
    backoff_max_s: Positive = 30.0  # … up to this
    backoff_reset_s: Positive = 1.0  # READY for so long forgets earlier failures
    intensity: Count = 5  # more restarts than this …
    intensity_period_s: Positive = 30.0  # … in this time, and an actor is FAILED: tried at the longest back-off only
    watchdog_s: Positive = 5.0  # an actor's loop that has not been heard of for so long is hung
    grace_s: Positive = 30.0  # actors without a supervisor stop by themselves after this
    spares: Annotated[int, msgspec.Meta(ge=0, le=16)] = 2  # loaded processes, to stand in for ingest or fan-out


class TlsSettings(Section, frozen=True):
    """TLS at the public port, where no proxy does it. Files that were renewed are seen by themselves."""

    certfile: str | None = None  # PEM: the certificate and those it is issued by
    keyfile: str | None = None  # PEM; nobody else may read it

    @property
    def is_on(self) -> bool:
        """Return whether the public port speaks TLS itself."""
        return bool(self.certfile and self.keyfile)


class ClusterSettings(Section, frozen=True):
    """Several machines that work as one; both settings, or none."""

    redis_url: str | None = (
        None  # redis://, rediss://, redis+sentinel://host:port,…/service or redis+cluster://host:port,…
    )
    redis_url_file: str | None = None  # a file that holds it; nobody else may read that
    advertise: str | None = None  # host or host:port at which the other nodes reach this one; also its name

    @property
    def is_on(self) -> bool:
        """Return whether this node belongs to a cluster."""
        return bool(self.redis_url and self.advertise)

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of this node's bridge. Raises ValueError: `advertise` is neither host nor host:port."""
        host, colon, port = (self.advertise or "").rpartition(":")
        if not colon or host.endswith(":"):
            return self.advertise or "", BRIDGE_PORT
        return host.strip("[]"), int(port)

    @property
    def node(self) -> str:
        """Return the name of this node: host:port."""
        return "{}:{}".format(*self.address)


class LogSettings(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"  # what is less than this is not written
    format: Literal["auto", "json", "text"] = "auto"  # auto: text on a terminal, JSON lines elsewhere


class Settings(Section, frozen=True):
    """All of it."""

    host: str = "127.0.0.1"  # address of the public port
    port: Port = 5006  # the public port
    run_dir: str = ""  # Unix and ZeroMQ sockets, 0700; empty: a directory of this user's
    data_dir: str = "var"  # the journal, crash reports
    io_uring: bool = True  # many sends as one system call, where the kernel allows it
    native: bool = True  # the hot path's routines in C, where they could be compiled
    auth: AuthSettings = AuthSettings()
    telnyx: TelnyxSettings = TelnyxSettings()
    gateway: GatewaySettings = GatewaySettings()
    tls: TlsSettings = TlsSettings()
    ingest: IngestSettings = IngestSettings()
    fanout: FanoutSettings = FanoutSettings()
    talk: TalkSettings = TalkSettings()
    events: EventSettings = EventSettings()
    console: ConsoleSettings = ConsoleSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    cluster: ClusterSettings = ClusterSettings()
    log: LogSettings = LogSettings()
