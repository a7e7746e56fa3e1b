"""Files of the page: types, caching, and nothing outside the directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.console.actor import web_directory
from patchbay.http.head import normalise_path
from patchbay.http.message import Request, Response
from patchbay.http.static import StaticFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> StaticFiles:
    (tmp_path / "secret.txt").write_text("secret")
    web = tmp_path / "web"
    (web / "sub").mkdir(parents=True)
    (web / "index.html").write_text("<!doctype html>")
    (web / "sub" / "worklet.js").write_text("export {}")
    (web / ".hidden.txt").write_text("hidden")
    (web / "unknown.exe").write_bytes(b"MZ")
    (web / "link.txt").symlink_to(tmp_path / "secret.txt")
    return StaticFiles(web)


def get(files: StaticFiles, path: str, *headers: tuple[bytes, bytes]) -> Response | None:
    return files.respond(Request("GET", path, {}, list(headers), b"", "peer"))


def test_files_come_with_their_type_and_a_strict_policy(files: StaticFiles) -> None:
    page, module = get(files, "/"), get(files, "/sub/worklet.js")
    assert page is not None
    assert page == get(files, "/index.html")
    assert page.content_type == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert module is not None
    assert module.content_type == "text/javascript; charset=utf-8"
    assert module.body == b"export {}"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "//secret.txt",
        "/link.txt",
        "/.hidden.txt",
        "/unknown.exe",
        "/sub",
        "",
        "/index.html\0",
        "/INDEX.HTML",
        "/secret.txt",
    ],
)
def test_there_is_nothing_else(files: StaticFiles, path: str) -> None:
    assert get(files, path) is None
    assert get(files, normalise_path(path)) is None or normalise_path(path) == "/"


def test_what_the_client_has_is_not_sent_again(files: StaticFiles) -> None:
    page = get(files, "/")
    assert page is not None
    etag = page.headers["etag"].encode()
    for value in (etag, b"W/" + etag, b'"other", ' + etag, b"*"):
        answer = get(files, "/", (b"if-none-match", value))
        assert answer is not None
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"].encode() == etag
    other = get(files, "/", (b"if-none-match", b'"other"'))
    assert other is not None
    assert other.status == 200


def test_a_directory_without_a_page_is_said_and_harmless(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert get(StaticFiles(tmp_path), "/") is None
    assert "no index.html" in caplog.text


def test_the_shipped_page_needs_nothing_from_elsewhere_and_writes_no_markup() -> None:
    shipped = StaticFiles(web_directory())
    parts = [f"/console/{path.name}" for path in (web_directory() / "console").iterdir()]
    assert len(parts) > 10
    for path in ("/", "/console.css", "/console.js", *parts):
        file = get(shipped, path)
        assert file is not None
        text = file.body.decode()
        assert "https://" not in text
        assert "//cdn" not in text
        for dangerous in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=",
            "onclick",
            "<script>",
        ):
            assert dangerous not in text
