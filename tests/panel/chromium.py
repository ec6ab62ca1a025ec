"""A real browser on the page, driven over its DevTools protocol."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

PATH = shutil.which("chromium") or shutil.which("google-chrome") or ""

START_S = 120.0
ANSWER_S = 60.0


class Chromium:
    """Context manager; shows a page when entered.

    Args:
        folder: for its profile; empty.
    """

    def __init__(self, address: str, folder: Path):
        self._folder = folder
        options = ["--headless=new", "--no-sandbox", "--remote-debugging-port=0"]
        options += ["--disable-gpu"]
        self._command = [PATH, *options, f"--user-data-dir={folder}", address]
        self._number = 0

    def __enter__(self) -> Chromium:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        port, _, _ = self._await_port().partition("\n")
        with connect(f"ws://127.0.0.1:{port}{self._browser}", proxy=None) as browser:
            browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            targets = json.loads(browser.recv(ANSWER_S))["result"]["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        uri = f"ws://127.0.0.1:{port}/devtools/page/{target}"
        self._socket = connect(uri, proxy=None, max_size=None)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(ANSWER_S)

    def evaluate(self, script: str) -> Any:
        """The value of a script on the page."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        give_up_s = time.monotonic() + START_S
        while not self.evaluate(script):
            assert time.monotonic() < give_up_s, f"never true on the page: {script}"
            time.sleep(0.1)

    def press_space(self) -> None:
        key = {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32}
        self._ask("Input.dispatchKeyEvent", type="keyDown", text=" ", **key)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **key)

    def _await_port(self) -> str:
        """The port and the browser's path, which it writes into its profile."""
        file = self._folder / "DevToolsActivePort"
        give_up_s = time.monotonic() + START_S
        while not (file.is_file() and len(file.read_text().splitlines()) == 2):
            assert time.monotonic() < give_up_s, "chromium does not start"
            time.sleep(0.1)
        text = file.read_text()
        self._browser = text.splitlines()[1]
        return text

    def _ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(ANSWER_S))
            if answer.get("id") == self._number:
                return answer["result"]
