"""What was lost on a device, as a point of the measurement ``cyberlab_gap``: gaps are listed, never hidden."""

from __future__ import annotations

from dataclasses import dataclass

from cyberlab_edge.points import Point, Value

GAP = "cyberlab_gap"


@dataclass(frozen=True)
class Gap:
    lost: int
    first_ns: int
    last_ns: int
    reason: str = "queue full"

    def line(self) -> str:
        # its time is the first loss, which stays: a longer gap overwrites the shorter one
        fields: dict[str, Value] = {
            "lost": self.lost,
            "from_ns": self.first_ns,
            "to_ns": self.last_ns,
            "reason": self.reason,
        }
        return Point(GAP, fields, self.first_ns).line()

    def with_more(self, lost: int, first_ns: int, last_ns: int) -> Gap:
        first, last = min(self.first_ns, first_ns), max(self.last_ns, last_ns)
        return Gap(self.lost + lost, first, last, self.reason)
