"""What does not start: where it would be open, or with secrets that are none; and that no secret is ever shown."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import jwt
import pytest

from config import ConfigError, load
from config.__main__ import main
from config.keys import new_pair

if TYPE_CHECKING:
    from pathlib import Path

SECRET, STREAM_TOKEN = "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY", "Zq7-stream-token-W4xk"
ON = {
    "PATCHBAY_AUTH__ENABLED": "true",
    "PATCHBAY_AUTH__JWT_SECRET": SECRET,
    "PATCHBAY_TELNYX__STREAM_TOKEN": STREAM_TOKEN,
}


def complaint(**environ: str) -> str:
    """What is said of a configuration that can't be used."""
    with pytest.raises(ConfigError) as caught:
        load(environ)
    return str(caught.value)


def private_file(directory: Path, text: str, mode: int = 0o600) -> str:
    path = directory / f"secret-{mode:o}"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_a_public_address_without_authentication(host: str) -> None:
    """Does not start, and says what to set."""
    said = complaint(PATCHBAY_HOST=host)
    for name in ("AUTH__ENABLED", "AUTH__JWT_SECRET", "TELNYX__STREAM_TOKEN", "TELNYX__PUBLIC_KEY", "PATCHBAY_HOST"):
        assert name in said
    assert load({**ON, "PATCHBAY_HOST": host}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    """A laptop's default."""
    assert not load({"PATCHBAY_HOST": host}).auth.enabled


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AUTH__JWT_SECRET", "", "exactly one of"),
        ("AUTH__JWT_SECRET", "short", "too short"),
        ("AUTH__JWT_SECRET", "a" * 40, "different characters"),
        ("AUTH__JWT_SECRET", "please-change-me-please-change-me", "default or an example"),
        ("AUTH__JWT_SECRET", "secret" + "1" * 30, "default or an example"),
        ("AUTH__JWT_PUBLIC_KEY", "x", "exactly one of"),
        ("TELNYX__STREAM_TOKEN", "", "needs PATCHBAY_TELNYX__STREAM_TOKEN"),
        ("TELNYX__STREAM_TOKEN", "abc", "too short"),
        ("TELNYX__STREAM_TOKEN", "password1", "default or an example"),
        ("TELNYX__STREAM_TOKEN", SECRET, "Telnyx could sign tokens"),
        ("TELNYX__STREAM_NETWORKS", "192.0.2.1/24", "192.0.2.0/24"),
        ("GATEWAY__PROXY_NETWORKS", "local/host", "gateway.proxy_networks"),
        ("TLS__CERTFILE", "/nonexistent", "needs both"),
    ],
)
def test_settings_that_are_refused(name: str, value: str, said: str) -> None:
    """In words that name the setting, and never its value."""
    text = complaint(**{**ON, f"PATCHBAY_{name}": value})
    assert said in text
    assert len(value) < 8 or "/" in value or value not in text


def test_public_keys() -> None:
    """The public half of a pair for EdDSA; the private half is refused, as is a key of another kind."""
    private, public = new_pair()
    environ = {**ON, "PATCHBAY_AUTH__JWT_SECRET": ""}
    assert load({**environ, "PATCHBAY_AUTH__JWT_PUBLIC_KEY": public.replace("\n", "\\n")}).auth.jwt_public_key
    assert "is a private key" in complaint(**environ, PATCHBAY_AUTH__JWT_PUBLIC_KEY=private)
    assert "is not a public key" in complaint(**environ, PATCHBAY_AUTH__JWT_PUBLIC_KEY="-----BEGIN PUBLIC KEY-----")


def test_secrets_in_files(tmp_path: Path) -> None:
    """Are taken from there; what every user can read, is empty, missing or set twice is refused."""
    environ = {key: value for key, value in ON.items() if "JWT_SECRET" not in key}
    good = private_file(tmp_path, f"{SECRET}\n")
    assert load({**environ, "PATCHBAY_AUTH__JWT_SECRET_FILE": good}).auth.jwt_secret == SECRET
    open_to_all = private_file(tmp_path, SECRET, 0o644)
    assert "chmod 600" in complaint(**environ, PATCHBAY_AUTH__JWT_SECRET_FILE=open_to_all)
    assert "is empty" in complaint(**environ, PATCHBAY_AUTH__JWT_SECRET_FILE=private_file(tmp_path, " \n", 0o400))
    assert "No such file" in complaint(**environ, PATCHBAY_AUTH__JWT_SECRET_FILE=str(tmp_path / "nothing"))
    assert "is set too" in complaint(**ON, PATCHBAY_AUTH__JWT_SECRET_FILE=good)


def test_a_configuration_file_with_secrets(tmp_path: Path) -> None:
    """Must be ours alone; one without may be anybody's to read."""
    text = f'[auth]\nenabled = true\njwt_secret = "{SECRET}"\n[telnyx]\nstream_token = "{STREAM_TOKEN}"\n'
    assert load({"PATCHBAY_CONFIG": private_file(tmp_path, text, 0o640)}).auth.enabled
    assert "can be read by every user" in complaint(PATCHBAY_CONFIG=private_file(tmp_path, text, 0o644))
    assert load({"PATCHBAY_CONFIG": private_file(tmp_path, "port = 5007\n", 0o604)}).port == 5007


def test_no_secret_is_shown() -> None:
    """Not by the text of the settings, which a log or a traceback may hold."""
    settings = load(ON)
    for shown in (repr(settings), str(settings), f"{settings.auth}", f"{settings.telnyx!r}"):
        assert SECRET not in shown
        assert STREAM_TOKEN not in shown
    assert "jwt_secret='***'" in repr(settings) or "jwt_secret=***" in repr(settings)


# ---- the command line


def test_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Says that a configuration can be used, or what is wrong with it."""
    monkeypatch.delenv("PATCHBAY_CONFIG", raising=False)
    assert main(["check"]) == 0
    assert "authentication OFF" in capsys.readouterr().out
    monkeypatch.setenv("PATCHBAY_HOST", "0.0.0.0")
    assert main(["check"]) == 78
    assert "authentication is off" in capsys.readouterr().err


def test_keys_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What `key` prints can be used as it is, and `token` makes tokens that it fits."""
    for pair in ([], ["--pair", str(tmp_path / "private.pem")]):
        assert main(["key", *pair]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
        made = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
        for name in ("PATCHBAY_AUTH__JWT_SECRET", "PATCHBAY_AUTH__JWT_PUBLIC_KEY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**made, "PATCHBAY_AUTH__ENABLED": "true"}.items():
            monkeypatch.setenv(name, value)
        assert main(["check"]) == 0
        capsys.readouterr()
        signing = ["--private-key", pair[1]] if pair else []
        assert main(["token", "--sub", "tim", "--call", "v3:x", "--can", "talk, listen", "--ttl", "8h", *signing]) == 0
        claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
        assert (claims["sub"], claims["calls"], claims["can"]) == ("tim", ["v3:x"], ["talk", "listen"])
    assert stat.S_IMODE((tmp_path / "private.pem").stat().st_mode) == 0o600
    assert main(["key", "--pair", str(tmp_path / "private.pem")]) == 78  # never over another key


@pytest.mark.parametrize("arguments", [["--can", "fly"], ["--ttl", "soon"], ["--ttl", "-1s"], ["--ttl", "0"]])
def test_tokens_that_can_not_be_made(arguments: list[str]) -> None:
    """A typing error is told at once."""
    with pytest.raises(SystemExit):
        main(["token", *arguments])


def test_a_token_without_a_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Says what to set; a key that is none is refused too."""
    monkeypatch.delenv("PATCHBAY_AUTH__JWT_SECRET", raising=False)
    assert main(["token"]) == 78
    assert "PATCHBAY_AUTH__JWT_SECRET" in capsys.readouterr().err
    assert main(["token", "--private-key", private_file(tmp_path, "rubbish")]) == 78
    assert "no private key" in capsys.readouterr().err
