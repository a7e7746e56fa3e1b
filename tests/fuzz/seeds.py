"""A few good and nearly good examples of everything that peers send: what mutations begin with."""

from __future__ import annotations

import struct
from base64 import b64encode

import jwt

from bench.hostile import payloads
from patchbay.protocol import batches, handover
from patchbay.protocol.v1.frames import HEADER, TALK_BYTES
from tests.fakes.telnyx import media, start, stop
from tests.fakes.websockets import BINARY, CLOSE, CONTINUATION, PING, masked, upgrade_head

SECRET = "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY"
SHORT = 4096  # bytes; the long ones are tried elsewhere

HEADS = (
    upgrade_head("/api/audio-stream?call_control_id=v3%3Aabc&track=both&format=json&token=x.y.z&since=12"),
    upgrade_head("/audio-stream?role=telnyx", "X-Telnyx-Streaming-Auth-Token: Zq7-stream-token-W4xk"),
    upgrade_head(
        "/ws/call-events", "Sec-WebSocket-Protocol: patchbay.v1, patchbay.token.x.y.z", "Origin: https://a.example"
    ),
    b"POST /api/calls/telnyx/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x.y.z\r\nCookie: patchbay_token=x.y.z; a=b\r\n\r\n",
    b"GET /api/calls HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7:99, [2001:db8::1]:1, ::ffff:1.2.3.4\r\n\r\n",
    *(each for each in (*payloads.HEADERS, *payloads.PATHS) if len(each) < SHORT),
)
FRAMES = (
    masked(b'{"event":"media"}') + masked(b"\x00" * 640, BINARY) + masked(b"x" * 70_000)[:SHORT],
    masked(b"half", 0x01) + masked(b"p", PING) + masked(b"whole", CONTINUATION) + masked(b"\x03\xe8bye", CLOSE),
    masked("é".encode() * 100)[:-1],
    *(each for each in (*payloads.BAD_TEXT, *payloads.HUGE_LENGTHS, *payloads.WRONG_OPCODES) if len(each) < SHORT),
)
TELNYX = (
    b'{"event":"connected","version":"1.0.0"}',
    start(),
    media(1),
    media(2, track="outbound"),
    media(4),
    b'{"event":"dtmf","stream_id":"s","occurred_at":"2026-01-01T00:00:00Z","sequence_number":"5","dtmf":{"digit":"1"}}',
    b'{"event":"mark","sequence_number":"6","stream_id":"s","mark":{"name":"m"}}',
    b'{"event":"error","payload":{"code":100003,"title":"t","detail":"d"},"stream_id":"s"}',
    b'{"event":"media","media":{"track":"inbound","chunk":-1.5e3,"timestamp":"1e9","payload":"\\u0041AAA"}}',
    stop(),
)
IDLE = (
    b"".join(masked(media(number, track=track)) for number in range(4) for track in ("inbound", "outbound")),
    b"".join(masked(media(number)) for number in range(6)),
    masked(media(1)) + masked(b"ping", PING) + masked(media(2)) + masked(b'{"event":"dtmf","dtmf":{"digit":"1"}}'),
)
TALK = struct.pack(">BBHII", 0x80, 0, 1, 160, 7) + b"\xff" * 160
BROWSER = (
    b'{"event":"media","media":{"payload":"' + b64encode(TALK) + b'"}}',
    b'{"event":"stop"}',
    b'{"event":"auth","token":"x.y.z"}',
    struct.pack("<8f", 0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), -float("inf"), 1e-40),
    b'{"type":"subscribe","call_control_id":"v3:abc","tracks":["inbound"],"peaks":true,"id":1}',
    b'{"type":"playout","call":1,"tracks":[{"track":"inbound","stream":1,"sequence":2,"buffer_ms":60}]}',
    b'{"type":"talk.start","call_control_id":"v3:abc","id":2}',
    b"\x00" * (HEADER.size + TALK_BYTES),
    TALK,
)
_ENTRY = batches.pack_entry(batches.AUDIO, 0, 0, 1, 1, 1, 160, 20, 7, batches.digest("v3:abc")) + b"\x55" * 160
_BATCH = batches.Batch(0, "a", 1, 2, 3)
BUS = (
    batches.pack_batch(0, _BATCH, [_ENTRY, _ENTRY]),
    batches.pack_talk(1, 1, 7, batches.digest("v3:abc"), b"\xff" * 160),
    b"\x01" + batches.interest_topic(0, batches.digest("v3:abc")),
    b"\x00" + batches.batch_topic(3),
)
WEBHOOKS = (
    (
        b'{"data":{"event_type":"call.answered","id":"1","occurred_at":"2026-01-01T00:00:00Z",'
        b'"payload":{"call_control_id":"v3:abc","from":"+331","client_state":null,"n":1e400}},"meta":{"attempt":1}}'
    ),
    b'{"id":"1","type":"stream.started","occurred_at":"2026-01-01T00:00:00Z","payload":{"call_control_id":"v3:abc"}}',
    b64encode(b"s" * 64) + b'\n{"data":{"event_type":"x","payload":{}}}',
    b'{"data":{"event_type":"x","payload":' + b"[" * 300 + b"]" * 300 + b"}}",
)
_ABOUT = handover.Connection(
    id=7, kind="ws", head=b"GET / HTTP/1.1\r\n\r\n", peer="127.0.0.1:1", claims={"sub": "s", "exp": 1.5}
)
PACKETS = tuple(
    handover.encode(packet)
    for packet in (
        handover.Hello(name="fanout", index=0, generation=1, pid=1),
        handover.Welcome(),
        handover.Offer(connection=_ABOUT, resumed=True),
        handover.Deposit(connection=_ABOUT, fresh=False),
        handover.Park(id=7, state=b"note", unsent=b"rest"),
        handover.Renewed(id=7, claims={"sub": "s", "calls": ["a"], "can": ["listen"]}),
        handover.Claim(id=7, key=b"k"),
        handover.Rest(id=7, rest=None),
    )
)
_CLAIMS = (
    {"sub": "s", "exp": 1_900_000_000, "calls": ["v3:abc"], "can": ["listen"]},
    {"sub": 1, "exp": "x"},
    {"exp": 1e300},
)
TOKENS = (
    *(jwt.encode(claims, SECRET, algorithm="HS256").encode() for claims in _CLAIMS),
    jwt.encode(_CLAIMS[0], "", algorithm="none").encode(),
    jwt.encode(_CLAIMS[0], SECRET * 2, algorithm="HS512", headers={"kid": "../../x", "crit": ["b64"]}).encode(),
    b"e30.e30.",
    b"a.b.c.d",
)
RTP = (b"\n".join((TALK, TALK[:2] + b"\0\2" + TALK[4:], b"\x80\xc8\0\0sour")), b"\x55" * 160, TALK)
FLOATS = (struct.pack("<64f", *(each / 64 for each in range(64))), struct.pack("<8d", *range(8)), b"\0\0\0\1" * 40)
JSON = (
    b'{"a":[1,-2.5e300,"\\ud83d\\ude00",null,true],"b":{"c":"\\u0000"}}',
    b'{"a":"\xff\\ud800","n":1e999,"m":123456789012345678901234567890}',
    b'\xef\xbb\xbf{"a":NaN,"a":Infinity}\0',
    '{"é":"\ufffd"}'.encode("utf-16"),
)
BASE64 = (b64encode(b"\xff" * 90), b"AA-_\nAA==", b"AAA", b"\r\n AAAA====")
QUERIES = (
    b"call_control_id=v3%3Aabc&track=both&format=json&since=12",
    b"call_control_id[]=a&call_control_id[1]=b&streamId=c&type=call.*,call.hangup&limit=9&snapshot=1",
    b"controlId=a&CALL_LEG_SID=b&my_stream_uuids=c&a=undefined",
)
TIMES = (b"2026-01-01T00:00:00.123456Z", b"2026-W01-1T00:00+14:00", b"9999-12-31T23:59:59-12:00", b"20260101")
ORIGINS = (b"https://a.example", b"http://localhost:3000", b"https://[::1]:443/", b"null", b"HTTPS://A.EXAMPLE:443")
ADDRESSES = (b"203.0.113.7:99", b"[2001:db8::1%eth0]:1", b"::ffff:1.2.3.4", b"1.2.3", b"fe80::1%25x")
COOKIES = (
    b"patchbay_token=x.y.z; a=b; Path=/; $Version=1",
    b'a="\\"\\134\\054"; patchbay_token="x.y.z"; expires=Wed, 21 Oct 2026 07:28:00 GMT',
    b"a=b,c=d; patchbay_token; =; ;;",
)
AUTHORIZATION = (b"Bearer x.y.z", b"bearer  x.y.z , Basic eDp5", b"patchbay.v1, patchbay.token.x.y.z, patchbay")
CLAIMS = (
    b'{"sub":"s","exp":1900000000,"calls":["v3:abc"],"can":["listen"]}',
    b'{"sub":"\\ud83d\\ude00","exp":1.9e9,"nbf":1,"calls":"*","can":["listen","talk","x"]}',
    b'{"sub":"\\ud800","exp":1900000000,"calls":["\\udfff"],"can":[],"aud":[]}',
)
FRAGMENTS = (
    b"\x01\x02ab\x89\x01p\x00\x02cd\x80\x01e",
    b"\x81\x02\xc3\xa9\x01\x01\xc3\x80\x01\xa9",
    b"\x88\x05\x03\xe8bye",
)
AMR_WB = (
    b"\xf0" + bytes([2 << 3 | 4]) + b"\xff" * 32,
    b"\xf0" + bytes([0x80 | 2 << 3 | 4]) * 3 + bytes([15 << 3 | 4]) + b"\xff" * 96,
    b"\xf1\x40" + b"\xff" * 32,
)
FORMATS = (
    b'{"encoding":"audio/x-mulaw;rate=8000","sample_rate":8000,"channels":1}',
    b'{"encoding":"L16","sample_rate":"16000","channels":2.0}',
    b'{"encoding":"AMR-WB","sample_rate":1,"channels":null}',
)
BATCHES = (b"\n".join((start(), media(1), media(2, track="outbound"), stop())), b"\n".join(TELNYX))
JOURNAL = (
    (
        b'{"id":"1","type":"call.initiated","occurred_at":"2026-01-01T00:00:00Z","payload":{"call_control_id":"v3:abc",'
        b'"from":"+331","to":"+1"}}\n{"id":"2","type":"stream.started","payload":{"call_control_id":"v3:abc","stream_id":"a"}}'
    ),
    b'{"type":"floor.taken","id":"3","payload":{"call_control_id":"v3:abc","talker":"t"}}\n{"type":"call.hangup"}',
)
NOTIFICATIONS = (b"READY=1\nSTATUS=ok\nMAINPID=1", b"WATCHDOG=1", b"=\n\nX=\xff")
