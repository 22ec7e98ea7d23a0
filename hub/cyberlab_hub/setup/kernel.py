"""The one setting of the host's kernel that the lab changes: io_uring is for root alone while the lab runs.

Docker's default seccomp profile lets io_uring through up to version 24, and users' servers run with it. The lab's own
engines take it out of every container (``spawner_images/engine/caged-runc.sh``); this closes it for the rest.
`down` puts the value back.
"""

from __future__ import annotations

from pathlib import Path

from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.steps import Reused

SWITCH = Path("/proc/sys/kernel/io_uring_disabled")
"""0: for everybody, 1: for root and one group, 2: for nobody. Linux 6.6 and later."""
FOR_ROOT = "1"


def ensure(settings: Settings, switch: Path = SWITCH) -> str:
    """Raises: Reused when it is so already, or when this kernel has no such setting."""
    if not switch.exists():
        raise Reused("this kernel has no switch for io_uring; the engines' runtime takes it out")
    before = switch.read_text().strip()
    if before != "0":
        raise Reused("io_uring is not for users")
    try:
        switch.write_text(FOR_ROOT)
    except OSError as error:  # a machine whose /proc/sys is not ours to write
        return f"io_uring stays open for notebooks: {error}"
    _kept(settings).parent.mkdir(parents=True, exist_ok=True)
    _kept(settings).write_text(before)
    return "io_uring is for root alone"


def restore(settings: Settings, switch: Path = SWITCH) -> bool:
    """Put back what was there before. False when the lab had not changed it."""
    kept = _kept(settings)
    if not kept.exists():
        return False
    switch.write_text(kept.read_text())
    kept.unlink()
    return True


def _kept(settings: Settings) -> Path:
    return settings.state / "run" / "io_uring_disabled"
