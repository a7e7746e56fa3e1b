"""Makes `vectors/`: what other people's codecs say, for the browser library's decoders to be held against.

Run by hand when a codec is added: `python tests/web/make_vectors.py`. G.711 is CPython's `audioop` (to 3.12), G.722
FFmpeg's by way of PyAV. Whole tables are kept as SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import sys
import warnings
import wave
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

SPEECH_FROM, SPEECH_SAMPLES = 16_000, 16_000
NOISE_SAMPLES = 8_000


def g711() -> dict[str, object]:
    """Decoding of 256 codes, and the digest of encoding -32768..32767 in this order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    every_code = bytes(range(256))
    every_value = struct.pack("<65536h", *range(-32768, 32768))
    made: dict[str, object] = {}
    ways = {"PCMU": (audioop.ulaw2lin, audioop.lin2ulaw), "PCMA": (audioop.alaw2lin, audioop.lin2alaw)}
    for name, (decode, encode) in ways.items():
        made[name] = {
            "decoded": list(struct.unpack("<256h", decode(every_code, 2))),
            "encoded_sha256": hashlib.sha256(encode(every_value, 2)).hexdigest(),
        }
    return made


def g722() -> tuple[bytes, bytes]:
    """A payload, and what FFmpeg decodes of it (16 kHz, 16 bit, little endian)."""
    from simulator.codecs import G722

    with wave.open(str(ROOT / "simulator/recordings/demo-congrats.wav")) as recording:
        narrow = struct.unpack(f"<{recording.getnframes()}h", recording.readframes(recording.getnframes()))
    speech = [value for value in narrow[SPEECH_FROM : SPEECH_FROM + SPEECH_SAMPLES // 2] for _ in range(2)]
    chance = random.Random(722)
    noise = [chance.randrange(-32768, 32768) for _ in range(NOISE_SAMPLES)]
    pcm = struct.pack(f"<{len(speech) + len(noise)}h", *speech, *noise)
    payload = G722.encode(pcm)
    return payload, G722.decode(payload)


def main() -> None:
    """Write the files."""
    directory = HERE / "vectors"
    directory.mkdir(exist_ok=True)
    payload, decoded = g722()
    (directory / "speech.g722").write_bytes(payload)
    made = {
        "g711": g711(),
        "g722": {"samples": len(decoded) // 2, "decoded_sha256": hashlib.sha256(decoded).hexdigest()},
    }
    (directory / "codecs.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
