"""A widget's buttons work while a cell runs."""

from __future__ import annotations

from typing import Any


def answer_in_any_shell(widget: Any) -> None:
    """Let the browser choose the shell in which this widget's messages are handled.

    JupyterLab sends a widget's messages to a subshell, a thread beside the one that runs cells. ipykernel 7.4 sends
    them back to the shell that spoke last through the widget, for handlers that need that shell's event loop: the
    cell's, so that a click waits for a running cell. Our handlers need no loop and hold the widget's lock. Other
    ipykernels do not ask; for them this changes nothing.
    """
    if widget.comm is not None:
        widget.comm._reply_subshell_for = lambda _data, wished: wished
