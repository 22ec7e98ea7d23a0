"""A kernel in a user's server, spoken to over its WebSocket: run one cell, collect its outputs."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from cyberlab_hub.demo.browser import Browser, Tell
from cyberlab_hub.errors import PartDown, WorkFailed

KEPT = {
    "display_data": ("data", "metadata"),
    "execute_result": ("data", "metadata", "execution_count"),
    "error": ("ename", "evalue", "traceback"),
}
"""What of a message's content belongs into a notebook, by kind."""


class CellFailed(WorkFailed):
    """The code of the cell raised; `name` and `value` are the exception's."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__("cell-failed", f"{name}: {value}")
        self.name = name
        self.value = value


class Kernel:
    def __init__(self, channel: ClientConnection) -> None:
        self._channel = channel
        self._session = uuid.uuid4().hex

    def run(
        self, code: str, tell: Tell, seconds: float, outputs: list[dict[str, Any]] | None = None
    ) -> int | None:
        """Run `code`; its outputs are put into `outputs` as they come. Answers the execution count.

        Raises:
            CellFailed: the code raised. WorkFailed: ``cell-timeout``. PartDown: the kernel went away.
        """
        request = self._send("execute_request", {"code": code, "allow_stdin": False, "stop_on_error": True})
        collected = Outputs(outputs if outputs is not None else [])
        reply: dict[str, Any] | None = None
        idle = False
        limit = time.monotonic() + seconds
        while reply is None or not idle:
            message = self._receive(limit, seconds)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind = message["msg_type"]
            if kind == "execute_reply":
                reply = message["content"]
            elif kind == "status":
                idle = message["content"]["execution_state"] == "idle"
            else:
                line = collected.add(message)
                if line:
                    tell(line)
        if reply["status"] != "ok":
            raise CellFailed(reply.get("ename", "Error"), reply.get("evalue", "the kernel stopped the cell"))
        count: int | None = reply.get("execution_count")
        return count

    def _send(self, kind: str, content: dict[str, Any]) -> str:
        number = uuid.uuid4().hex
        header = {
            "msg_id": number,
            "msg_type": kind,
            "session": self._session,
            "username": "",
            "version": "5.3",
            "date": "",
        }
        parts = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
        }
        try:
            self._channel.send(json.dumps(parts))
        except ConnectionClosed as error:
            raise PartDown("hub-down", "The connection to the kernel was cut.") from error
        return number

    def _receive(self, limit: float, seconds: float) -> dict[str, Any]:
        left = limit - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            raw = self._channel.recv(timeout=left)
        except TimeoutError as error:
            raise WorkFailed("cell-timeout", f"it was not done after {seconds:.0f} s") from error
        except ConnectionClosed as error:
            raise PartDown("hub-down", "The connection to the kernel was cut.") from error
        if isinstance(raw, bytes):  # a message with buffers: only widgets send those, and no page is open
            return {"parent_header": {}, "msg_type": "", "content": {}}
        message: dict[str, Any] = json.loads(raw)
        message.setdefault("msg_type", message["header"]["msg_type"])
        return message


class Outputs:
    """Turns messages into a cell's outputs as JupyterLab would: merges streams, updates displays, clears."""

    def __init__(self, outputs: list[dict[str, Any]]) -> None:
        self.outputs = outputs
        self._displays: dict[str, int] = {}
        self._clear_next = False

    def add(self, message: dict[str, Any]) -> str:
        """Take in one message; answers the newest line a person would read, or nothing."""
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            self._clear_next = True
            if not content.get("wait"):
                self._clear()
            return ""
        if kind not in KEPT and kind not in ("stream", "update_display_data"):
            return ""
        if self._clear_next:
            self._clear()
        if kind == "stream":
            self._stream(content)
            return last_line(content["text"])
        display = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            if display in self._displays:
                self.outputs[self._displays[display]].update(
                    data=content["data"], metadata=content["metadata"]
                )
        else:
            if display is not None:
                self._displays[display] = len(self.outputs)
            keep = KEPT[kind]
            self.outputs.append({"output_type": kind} | {key: content[key] for key in keep})
        return last_line(str(content.get("data", {}).get("text/plain", "")))

    def _stream(self, content: dict[str, Any]) -> None:
        before = self.outputs[-1] if self.outputs else {}
        if before.get("output_type") == "stream" and before.get("name") == content["name"]:
            before["text"] += content["text"]
        else:
            self.outputs.append({"output_type": "stream", "name": content["name"], "text": content["text"]})

    def _clear(self) -> None:
        self.outputs.clear()
        self._displays.clear()
        self._clear_next = False


def last_line(text: str) -> str:
    """The last line with something on it, as a progress bar would leave it (what follows the last return)."""
    lines = [line.split("\r")[-1].strip() for line in text.rstrip().splitlines()]
    return next((line for line in reversed(lines) if line), "")


@contextmanager
def open_kernel(browser: Browser, notebook: str) -> Iterator[Kernel]:
    """A kernel of its own in the folder of `notebook`; shut down at the end, whatever happened."""
    path = notebook.rpartition("/")[0]
    started: dict[str, Any] = browser.server("POST", "/kernels", ok=(201,), json={"path": path}).json()
    try:
        with browser.channel(started["id"]) as channel:
            yield Kernel(channel)
    finally:
        browser.server("DELETE", f"/kernels/{started['id']}", ok=(204, 404))
