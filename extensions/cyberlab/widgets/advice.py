"""`AdviceWatch`: asks the lab for advice about the Dockerfile once nobody has typed for a moment.

The lab that has none, does not answer or is too busy says nothing: advice never stands in anybody's way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cyberlab.errors import LabError

if TYPE_CHECKING:
    from cyberlab.lab import Lab
    from cyberlab.spec.image import ImageSpec

PAUSE_SECONDS = 0.8

Tell = Callable[[list[dict[str, Any]]], None]


class AdviceWatch:
    def __init__(self, lab: Lab, tell: Tell) -> None:
        self._lab = lab
        self._tell = tell
        self._timer: threading.Timer | None = None
        self._text = ""

    def about(self, spec: ImageSpec, dockerfile: str) -> None:
        """Ask soon, unless it is the text that was asked about. Advice about another is taken back at once."""
        if dockerfile == self._text:
            return
        self._text = dockerfile
        self._tell([])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if spec.custom.strip() or spec.pip or spec.npm:  # there is nothing else that anybody could change
            self._timer = threading.Timer(PAUSE_SECONDS, self._ask, (spec, dockerfile))
            self._timer.daemon = True
            self._timer.start()

    def _ask(self, spec: ImageSpec, dockerfile: str) -> None:
        try:
            rows = [one.model_dump(mode="json") for one in self._lab.advice(spec)]
        except LabError:
            return
        if dockerfile == self._text:
            self._tell(rows)
