"""What the programs of a deployment print, line by line and by device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cyberlab_hub.workshop.clock import StopClock
from cyberlab_hub.workshop.engine import Engine, Stream
from cyberlab_hub.workshop.nodes import Nodes, name_of
from cyberlab_hub.workshop.orders import LogLine
from cyberlab_hub.workshop.output import printable, shown

READ_SECONDS = 10.0
"""A device that is away must not hold up what the others printed."""
MOST_CHARACTERS = 8_000_000
ENGINE = 3
"""Stream of the engine's own remarks."""


def read(engine: Engine, nodes: Nodes, service: str, tail: int) -> Iterator[LogLine]:
    """The last `tail` lines of each device, oldest first."""
    stream = _open(engine, service, tail, follow=False)
    with StopClock(stream.close, READ_SECONDS):
        return iter(sorted(_bounded(_lines(stream, _names(nodes))), key=lambda line: line.at))


def _bounded(lines: Iterator[LogLine]) -> Iterator[LogLine]:
    """Twenty devices with 5,000 long lines each would be 200 MB."""
    left = MOST_CHARACTERS
    for line in lines:
        left -= len(line.text)
        if left < 0:
            cut = f"(This is more than {MOST_CHARACTERS // 10**6} MB: the rest of the log is not shown.)"
            yield LogLine(device="", text=cut, at=line.at)
            return
        yield line


class Followed(Iterator[LogLine]):
    """The last lines, then each new one. Ends when the service is removed or another thread calls `close`."""

    def __init__(self, engine: Engine, nodes: Nodes, service: str, tail: int) -> None:
        self._stream = _open(engine, service, tail, follow=True)
        self._lines = _lines(self._stream, _names(nodes))

    def __next__(self) -> LogLine:
        return next(self._lines)

    def close(self) -> None:
        self._stream.close()


def _open(engine: Engine, service: str, tail: int, *, follow: bool) -> Stream:
    params = {"stdout": 1, "stderr": 1, "timestamps": 1, "details": 1, "tail": tail, "follow": int(follow)}
    return engine.stream("GET", f"/services/{service}/logs", params=params)


def _names(nodes: Nodes) -> dict[str, str]:
    return {node["ID"]: name_of(node) for node in nodes.all()}


def _lines(stream: Stream, names: Mapping[str, str]) -> Iterator[LogLine]:
    # the reader gives the connection back, whoever closed the stream
    with stream:
        for source, frame in stream.frames():
            text = frame.decode(errors="replace").rstrip("\n")
            if source == ENGINE:
                said = printable(text).strip()[:300]
                yield LogLine(device="", text=f"(not all lines could be fetched: {said})")
                continue
            at, _, rest = text.partition(" ")
            details, _, line = rest.partition(" ")
            yield LogLine(device=names.get(_node(details), ""), text=shown(line), at=at)


def _node(details: str) -> Any:
    pairs = dict(part.partition("=")[::2] for part in details.split(","))
    return pairs.get("com.docker.swarm.node.id", "")
