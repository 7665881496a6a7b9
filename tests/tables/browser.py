"""A headless Chromium, driven through its debugging pipe: real keys, real clicks, every request."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
from fcntl import F_DUPFD, fcntl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest


class Browser:
    """One page of a local file.

    Attributes:
        requests: addresses that the page asked for, without those of its own file.
        complaints: what it wrote to the console, and uncaught errors.
    """

    def __init__(self, page: Path, profile: Path, width: int, height: int = 900) -> None:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("no chromium on this machine (Debian: chromium)")
        command = [program, "--headless", "--no-sandbox", "--disable-gpu"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        there, self._in = _pipe()
        self._out, back = _pipe()

        def connect() -> None:  # chromium reads commands at 3 and writes answers at 4
            os.dup2(there, 3)
            os.dup2(back, 4)

        self._process = subprocess.Popen(
            command,
            preexec_fn=connect,  # noqa: PLW1509 - two system calls, nothing that could wait
            pass_fds=(3, 4),
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._number, self._rest, self._session = 0, b"", ""
        self._events: list[dict[str, Any]] = []
        self._page = page.as_uri()
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=self._page)
        self._until("Page.loadEventFired")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def value(self, script: str) -> Any:
        """What an expression gives."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Keys, one after the other: ``Tab``, ``Enter``, ``ArrowDown`` …"""
        for name in keys:
            code = {"Tab": 9, "Enter": 13, "Space": 32, "ArrowDown": 40}[name]
            text = {"Enter": "\r", "Space": " "}.get(name)
            key: dict[str, Any] = {"key": text if name == "Space" else name, "code": name}
            key |= {"windowsVirtualKeyCode": code} | ({"text": text} if text else {})
            self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    def picture(self, path: Path, dark: bool = False) -> None:
        """A screenshot of the whole page."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the debugging protocol; returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _until(self, event: str) -> None:
        while not any(e["method"] == event for e in self._events):
            self._read()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._out], [], [], 60)[0], "the browser does not answer"
            part = os.read(self._out, 1 << 16)
            assert part, "the browser is gone"
            self._rest += part
        raw, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        if "method" in message:
            self._note(message["method"], message["params"])
            self._events.append(message)
        return message

    def _note(self, method: str, given: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            url = given["request"]["url"]
            if not url.startswith(("data:", "about:", self._page)):
                self.requests.append(url)
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(given)[:400])


def _pipe() -> list[int]:
    """Both ends, with numbers that are neither 3 nor 4."""
    ends = os.pipe()
    high = [fcntl(end, F_DUPFD, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high
