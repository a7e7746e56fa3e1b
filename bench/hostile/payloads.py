"""What hostile peers say. Pure."""

from __future__ import annotations

import zlib

from bench.hostile.wire import BINARY, CLOSE, CONTINUATION, PING, TEXT, UPGRADE, frame

ENOUGH_BYTES = 500_000  # of one connection that is let be

BAD_TEXT = (
    frame(TEXT, b'{"event":"\xff\xfe"}'),
    frame(TEXT, b"\xed\xa0\x80"),
    frame(TEXT, b"\xf4\x90\x80\x80"),
    frame(TEXT, b"\xce\xba", fin=False) + frame(CONTINUATION, b"\xed\xa0"),
    frame(TEXT, b'{"event":"\xc0\xaf"}', length=5000)[:-1],
    frame(CLOSE, b"\x03\xe8\xff\xfe"),
)
BAD_MASKS = (
    frame(TEXT, b'{"event":"stop"}', masked=False),
    frame(BINARY, b"\0" * 640, masked=False),
    frame(PING, b"x", masked=False),
    frame(CLOSE, b"\x03\xe8", masked=False),
)
RESERVED_BITS = tuple(frame(opcode, b"x", reserved=bits) for bits in range(1, 8) for opcode in (TEXT, PING, CLOSE))
WRONG_OPCODES = (
    *(frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    frame(CONTINUATION, b"x"),
    frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
    frame(PING, b"x", fin=False),
    frame(PING, b"x" * 126),
    frame(CLOSE, b"x"),
    frame(CLOSE, b"\x03\xed"),
)
HUGE_LENGTHS = tuple(
    frame(opcode, b"x" * 64, length=length) for length in (2**21, 2**31, 2**32, 2**62, 2**63, 2**64 - 1)
    for opcode in (TEXT, BINARY, CONTINUATION, PING)
)  # fmt: skip

_packer = zlib.compressobj(9, zlib.DEFLATED, -15)
BOMB = frame(TEXT, (_packer.compress(b"[" * 2**20) + _packer.flush(zlib.Z_SYNC_FLUSH))[:-4], reserved=4)


def _both(*texts: bytes) -> tuple[bytes, ...]:
    return tuple(frame(opcode, text) for text in texts for opcode in (TEXT, BINARY))


JSON = _both(
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"event":"media","media":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"event":"start","start":{"call_control_id":"' + b"x" * 40_000 + b'"}}',
    b'{"event":"start","start":[]}',
    b'{"event":"start","start":{"call_control_id":{}}}',
    b'{"event":"auth","token":{}}',
    b'{"event":"auth","token":"' + b"a." * 20_000 + b'"}',
    b'{"event":"media","event":"stop","media":null}',
    b'{"\\ud800":"\\udfff"}',
    b"\x00" * 1000,
    b"",
)
BASE64 = _both(
    b'{"event":"media","media":{"payload":"!!!!"}}',
    b'{"event":"media","media":{"payload":"A"}}',
    b'{"event":"media","media":{"payload":"AAA=AAA="}}',
    b'{"event":"media","media":{"payload":"' + b"A" * 60_001 + b'"}}',
    b'{"event":"media","media":{"payload":"\\u0000AAA"}}',
    b'{"event":"media","media":{"payload":"' + b"=" * 1000 + b'"}}',
    b'{"event":"media","media":{"payload":17}}',
)
NUMBERS = _both(
    b'{"event":"media","media":{"payload":null,"chunk":1e999,"timestamp":-1}}',
    b'{"event":"media","sequence_number":"999999999999999999999999","media":{"chunk":"-5","payload":"AAAA"}}',
    b'{"event":"media","media":{"track":"inbound","chunk":"18446744073709551616","timestamp":"NaN","payload":"AAAA"}}',
    b'{"event":"start","start":{"call_control_id":"n","media_format":{"sample_rate":-1,"channels":1e9}}}',
    b'{"event":' + b"9" * 5_000 + b"}",
    b'{"event":"media","media":{"chunk":' + b"9" * 20_000 + b',"payload":"AAAA"}}',
    b"\xff\xff\xff\xff" * 160,  # Float32 samples that are no numbers
    b"\x00\x00\x80\x7f" * 160,
)


def request(path: str, headers: str = "") -> bytes:
    """To open a WebSocket."""
    return f"GET {path} HTTP/1.1\r\n{UPGRADE}{headers}\r\n".encode()


SMUGGLED = b"GET /api/calls HTTP/1.1\r\nHost: x\r\n\r\n"
REQUESTS = {
    "both lengths": b"POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n",
    "a negative length": b"POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a signed length": b"POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n",
    "an unknown coding": b"POST /calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "a coding twice": b"POST /calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "a space before the colon": b"POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n",
    "a line without a carriage return": b"POST /calls HTTP/1.1\r\nHost: x\nContent-Length: 0\r\n\r\n",
    "a null in a header": b"GET /calls HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "a wrong chunk": b"POST /calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "no host": b"GET /calls HTTP/1.1\r\n\r\n",
}
SMUGGLING = tuple(each + SMUGGLED for each in REQUESTS.values())


def _get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


PATHS = tuple(
    _get(path)
    for path in (
        b"/../../../../etc/passwd",
        b"/..%2f..%2f..%2fetc%2fpasswd",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/static/../../actors/__main__.py",
        b"/patchbay/..%5c..%5cconsole.py",
        b"//127.0.0.1/api/calls",
        b"/api/api/api/calls",
        b"/ws/../api/calls",
        b"/index.html%00.js",
        b"/api/calls;x=/..",
        b"http://127.0.0.1:1/api/calls",
        b"*",
        b"/%ff%fe%00",
        b"/" + b"a" * 15_000,
        b"/audio-stream?" + b"call_control_id=x&" * 800,
        b"/audio-stream?call_control_id=%00%ff&track=all",
    )
)


def _with(headers: bytes) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n\r\n"


HEADERS = (
    *(_with(b"\r\n".join(b"X-%d: y" % number for number in range(many))) for many in (100, 1500)),
    _with(b"X: " + b"y" * 17_000),
    _with(b"X: a\r\n folded: b"),
    _with(b": no name"),
    _with(b"no colon"),
    _with(b"X\x00Y: z"),
    _with(b"X: \xff\xfe"),
    _with(b"Host: y"),
    _with(b"X-Forwarded-For: " + b"1," * 7_000),
    _with(b"X-Forwarded-For: ::ffff:1.2.3.4%eth0, [::1]:99999, unknown"),
    _with(b"Cookie: " + b'a="' * 4_000),
    _with(b"Upgrade: websocket\r\nConnection: Upgrade"),
    _with(b"Authorization: Bearer " + b"a." * 7_000),
    b"GET /healthz HTTP/1.1\nHost: x\n\n" + b"\r\n\r\n",
    b"GET  /healthz  HTTP/9.9\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500 + b"\r\n\r\n",  # TLS, to a plain port
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    request("/audio-stream").replace(b"Version: 13", b"Version: 12"),
    request("/audio-stream").replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"!"),
)
