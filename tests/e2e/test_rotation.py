"""A leaked key is replaced while everything runs, by the steps that docs/operations.md tells; what can't be seen is
said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from config.__main__ import main as config
from tests.e2e.guarded import OTHER_SECRET, SECRET, STREAM_TOKEN, ask, token
from tests.e2e.system import System, eventually, new_system

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def patchbay() -> Iterator[System]:
    with new_system() as system:
        secrets = system.home / "secrets"
        secrets.mkdir(mode=0o700)
        for name in ("jwt_secret", "stream_token"):
            assert config(["key", "--file", str(secrets / name)]) == 0
        (system.home / "patchbay.toml").write_text(
            f'[auth]\nenabled = true\njwt_secret_file = "{secrets}/jwt_secret"\n'
            f'[telnyx]\nstream_token_file = "{secrets}/stream_token"\n'
        )
        system.environ["PATCHBAY_CONFIG"] = str(system.home / "patchbay.toml")
        system.start()
        system.wait_ready()
        yield system
        assert system.stop() == 0, system.log()


async def is_let_in(system: System, key: str) -> bool:
    status, _ = await ask(system, f"/api/calls?token={token(key=key)}")
    assert status in (200, 401)
    return status == 200


def key_in(path: Path) -> str:
    return path.read_text().strip()


async def test_a_key_in_a_file(patchbay: System) -> None:
    """`python -m config key --file …`, `python -m supervisor reload`: the old one opens nothing any more."""
    file = patchbay.home / "secrets" / "jwt_secret"
    leaked = key_in(file)
    assert await is_let_in(patchbay, leaked)
    await trio.to_thread.run_sync(config, ["key", "--file", str(file)])
    assert key_in(file) != leaked
    told = await patchbay.command("reload")
    assert "can't change" in told
    assert "SECRET" not in told
    assert not await is_let_in(patchbay, leaked)
    assert await is_let_in(patchbay, key_in(file))
    for secret in (leaked, key_in(file)):
        assert secret not in patchbay.log() + told


async def test_a_key_in_the_environment() -> None:
    """The reload says that it can't see another one; a supervisor that takes over with another environment applies it,
    and no process ends for it that is not replaced first."""
    with new_system(AUTH__ENABLED="true", AUTH__JWT_SECRET=SECRET, TELNYX__STREAM_TOKEN=STREAM_TOKEN) as system:
        system.start()
        system.wait_ready()
        told = await system.command("reload")
        assert "PATCHBAY_AUTH__JWT_SECRET" in told
        assert SECRET not in told
        system.environ["PATCHBAY_AUTH__JWT_SECRET"] = OTHER_SECRET
        before = system.process
        assert before is not None
        before.kill()
        before.wait()
        system.start()
        await eventually(lambda: is_let_in(system, OTHER_SECRET))
        assert not await is_let_in(system, SECRET)
        assert system.stop() == 0, system.log()
