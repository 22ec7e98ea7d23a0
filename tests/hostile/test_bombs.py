"""Programs that eat all they can get, in a trial and in a build. Meanwhile another user works, and the host stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cyberlab.wire import Phase
from hostile.attack import Attack, Scene, table
from hostile.scene import small_spec, wait_until

SECONDS = 25
BOMBS = {
    "processes": "import os\nwhile True:\n try: os.fork()\n except OSError: pass",
    "zombies": "import os\nwhile True:\n try:\n  if os.fork() == 0: os._exit(0)\n except OSError: pass",
    "memory": "held = []\nwhile True: held.append(bytearray(b'x' * 10**7))",
    "processor": "import os\nfor _ in range(5): os.fork()\nwhile True: pass",
    "tmp": "n = 0\nwhile True:\n n += 1\n try: open(f'/tmp/{n}', 'wb').write(b'x' * 10**7)\n except OSError: pass",
    "inodes": "n = 0\nwhile True:\n n += 1\n try: open(f'/tmp/{n}', 'w').close()\n except OSError: pass",
    "shared memory": "while True:\n try: open('/dev/shm/x', 'ab').write(b'x' * 10**7)\n except OSError: pass",
    "open files": "held = []\nwhile True:\n try: held.append(open('/dev/null'))\n except OSError: pass",
    "output": "while True: print('x' * 1000)",
    "sockets": "import socket\nheld = []\nwhile True:\n try: held.append(socket.socket())\n except OSError: pass",
}
IN_BUILDS = ("processes", "memory", "processor", "output")


def in_trial(code: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        image = scene.once("image of the bombs", lambda: _built(scene))
        handle = scene.mallory.lab.start_trial(image, seconds=SECONDS, command=("python3", "-c", code))
        _meanwhile(scene, handle)

    return run


def in_build(code: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        line = f"RUN python3 -c {_quoted(f'exec({code!r})')}"
        handle = scene.mallory.lab.start_build(small_spec("bomb", "print(1)\n", custom=line))
        _meanwhile(scene, handle)

    return run


def _meanwhile(scene: Scene, handle: Any) -> None:
    begun = (Phase.RUNNING, Phase.BUILDING)
    wait_until("the bomb", lambda: (phase := handle.refresh().phase) in begun or phase.ended)
    try:
        with scene.host_steady():
            scene.ben_can_build()
            scene.ben_can_compute()
    finally:
        handle.cancel()
    wait_until("the end of the bomb", lambda: handle.refresh().phase.ended, 30)


def _built(scene: Scene) -> str:
    return scene.mallory.lab.build(small_spec("quiet", "print(1)\n"), show=False, timeout=120).ref


def _quoted(code: str) -> str:
    escaped = code.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'


ATTACKS = (
    *(
        Attack(
            "bombs",
            f"trial-{name.replace(' ', '-')}",
            f"uses up {name} in a trial",
            "Ben's build and notebook go on, the host is steady, the trial can be ended",
            "container flag",
            in_trial(code),
        )
        for name, code in BOMBS.items()
    ),
    *(
        Attack(
            "bombs",
            f"build-{name}",
            f"uses up {name} in a build",
            "Ben's build and notebook go on, the host is steady, the build can be ended",
            "builder limit",
            in_build(BOMBS[name]),
        )
        for name in IN_BUILDS
    ),
)


@table(ATTACKS)
def test_bombs(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
