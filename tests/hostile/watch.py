"""What an attack must not change: a file of the host, its memory, its disk; and an ear for connections."""

from __future__ import annotations

import json
import secrets
import selectors
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cyberlab_hub.settings import Settings

MB = 2**20
MEMORY_SLACK_MB = 2600
"""What the cages that run at once may use (two builds or trials, a server), and what other work of the host takes."""
DISK_SLACK_MB = 2600
"""What a build may leave on the engine's own disk, whose file is on the host's."""


class HostWatch:
    """The host's canary file and its resources."""

    def __init__(self, settings: Settings) -> None:
        self._state = settings.state
        self.canary = settings.state / f"hostile-canary-{secrets.token_hex(4)}"
        self._text = secrets.token_hex(16)
        self.canary.write_text(self._text)
        self.canary.chmod(0o644)

    def assert_canary(self) -> None:
        assert self.canary.read_text() == self._text, "a file of the host was changed"

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Sampled while the block runs: the worst moment counts."""
        memory, disk = memory_free(), disk_free(self._state)
        worst = [memory, disk]
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.2):
                worst[0] = min(worst[0], memory_free())
                worst[1] = min(worst[1], disk_free(self._state))

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        lost = (memory - worst[0]) // MB, (disk - worst[1]) // MB
        assert lost[0] < MEMORY_SLACK_MB, f"the host lost {lost[0]} MB of memory"
        assert lost[1] < DISK_SLACK_MB, f"the host lost {lost[1]} MB of disk"

    def __enter__(self) -> HostWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.canary.unlink(missing_ok=True)


class PartProcess:
    """The process of a part of the lab (``lab``, ``ingest``), by its account in /proc."""

    def __init__(self, settings: Settings, name: str) -> None:
        record = json.loads((settings.state / "run" / f"{name}.json").read_text())
        self._proc = Path("/proc") / str(record["pid"])

    def memory(self) -> int:
        """Bytes of it that are in memory."""
        return self._number("status", "VmRSS:") * 1024

    def written(self) -> int:
        """Bytes that it has written until now."""
        return self._number("io", "wchar:")

    def _number(self, file: str, key: str) -> int:
        lines = (self._proc / file).read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1])


def memory_free() -> int:
    """Bytes that the host has left, by its kernel's own estimate."""
    line = next(x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def disk_free(path: Path) -> int:
    return shutil.disk_usage(path).free


class Listener:
    """A TCP and a UDP port, open on every address of the host: what a forgotten database would be."""

    def __enter__(self) -> Listener:
        self._tcp = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - every address is the point
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("0.0.0.0", self.port))  # noqa: S104
        self.seen: list[str] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._tcp.close()
        self._udp.close()

    def forget(self) -> None:
        """Begin anew: what came before belongs to another attack."""
        self.seen.clear()

    def proves_itself(self) -> None:
        """Whether it hears at all. Leaves nothing in `seen`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            deadline = time.monotonic() + 5
            while not self.seen:
                assert time.monotonic() < deadline, "the listener hears nothing: the watch itself is wrong"
                time.sleep(0.05)
        self.forget()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as ready:
            for source in (self._tcp, self._udp):
                source.setblocking(False)
                ready.register(source, selectors.EVENT_READ)
            while not self._done.is_set():
                for key, _ in ready.select(0.2):
                    with suppress(OSError):
                        self._heard(key.fileobj is self._tcp)

    def _heard(self, tcp: bool) -> None:
        if tcp:
            connection, peer = self._tcp.accept()
            connection.close()
        else:
            _, peer = self._udp.recvfrom(2048)
        self.seen.append(f"{'tcp' if tcp else 'udp'} from {peer[0]}")
