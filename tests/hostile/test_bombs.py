"""Programs that eat all they can get, in a trial and in a build. Meanwhile another user works, and the host stays as it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from cyberlab import FileEntry
from cyberlab.jobs import JobHandle
from hostile.attack import Attack, Scene, table
from hostile.scene import small_spec, wait_until

SECONDS = 60
FILLING = 3.0
"""Seconds until a bomb has used up what it uses up."""
SAYS = "print('tick', flush=True)\n"
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


def in_trial(name: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        _meanwhile(scene, start_in_trial(scene, name))

    return run


def in_build(code: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        line = f"RUN python3 -c {_quoted(f'exec({SAYS + code!r})')}"
        handle = scene.mallory.lab.start_build(small_spec("bomb", "print(1)\n", custom=line))
        _meanwhile(scene, handle)

    return run


def _meanwhile(scene: Scene, handle: JobHandle) -> None:
    wait_until_it_says_so(handle)
    try:
        with scene.host_steady():
            scene.ben_can_build()
            scene.ben_can_compute()
    finally:
        handle.cancel()
    wait_until("the end of the bomb", lambda: handle.refresh().phase.ended, 30)


def start_in_trial(scene: Scene, name: str) -> JobHandle:
    image = scene.once("image of the bombs", lambda: _built(scene))
    return scene.mallory.lab.start_trial(image, seconds=SECONDS, command=("python3", f"{slug(name)}.py"))


def wait_until_it_says_so(handle: JobHandle) -> None:
    """A bomb that never went off would prove nothing."""
    wait_until("the bomb", lambda: any("tick" in event.text for event in handle.past()))
    time.sleep(FILLING)


def _built(scene: Scene) -> str:
    files = [FileEntry(path=f"{slug(name)}.py", text=SAYS + code) for name, code in BOMBS.items()]
    spec = small_spec("bombs", "print(1)\n")
    return scene.mallory.lab.build(
        spec.model_copy(update={"files": (*spec.files, *files)}), show=False, timeout=120
    ).ref


def slug(name: str) -> str:
    return name.replace(" ", "-")


def _quoted(code: str) -> str:
    escaped = code.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'


ATTACKS = (
    *(
        Attack(
            "bombs",
            f"trial-{slug(name)}",
            f"uses up {name} in a trial",
            "Ben's build and notebook go on, the host is steady, the trial can be ended",
            "container flag",
            in_trial(name),
        )
        for name in BOMBS
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
