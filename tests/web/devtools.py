"""A Chromium whose tabs can be hidden and frozen, by its own protocol: Playwright keeps every page visible, on
purpose."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect

from tests.web.browser import FLAGS, WAIT_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

POLL_S = 0.05


class Tab:
    """A page. Expressions are evaluated in it; promises are waited for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0
        [page] = [each for each in self._ask("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._target = page["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]

    def goto(self, url: str) -> None:
        """Load a page."""
        self._ask("Page.navigate", self._session, url=url)
        self.until("document.readyState === 'complete' && location.protocol.startsWith('http')")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": True}
        answer = self._ask("Runtime.evaluate", self._session, **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for something to be true."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, condition
            time.sleep(POLL_S)

    def hide(self, *, frozen: bool) -> None:
        """Put another tab in front; `frozen`: and run nothing of this one's."""
        front = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._ask("Target.activateTarget", targetId=front)
        self.until("document.hidden")
        if frozen:
            self._ask("Page.setWebLifecycleState", self._session, state="frozen")

    def show(self) -> None:
        """Put it in front again."""
        self._ask("Target.activateTarget", targetId=self._target)
        self._ask("Page.setWebLifecycleState", self._session, state="active")
        self.until("!document.hidden")

    def _ask(self, method: str, session: str | None = None, **params: Any) -> Any:
        self._sent += 1
        about = {} if session is None else {"sessionId": session}
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params, **about}))
        while True:
            message = json.loads(self._socket.recv(timeout=WAIT_MS / 1000))
            if message.get("id") == self._sent:
                assert "error" not in message, (method, message["error"])
                return message["result"]


@contextmanager
def chromium_tab() -> Iterator[Tab]:
    """A browser with one tab."""
    home = tempfile.mkdtemp(prefix="patchbay-chromium-")
    command = ["chromium", "--headless", *FLAGS, "--autoplay-policy=no-user-gesture-required"]
    where = [f"--user-data-dir={home}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen([*command, *where], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        url = next(line.split()[-1] for line in process.stderr if "DevTools listening on" in line)
        with connect(url, max_size=None, compression=None) as socket:
            yield Tab(socket)
    finally:
        process.kill()
        process.stderr.close()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
