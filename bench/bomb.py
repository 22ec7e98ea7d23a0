"""How much slower another user's build and notebook cell are while a bomb runs, against the same without one.

Needs a running lab; makes two people and removes them.

    python bench/bomb.py [rounds]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cyberlab_hub import settings as settings_module

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]
from hostile.scene import Scene, raise_the_curtain, wait_until  # noqa: E402 - found by the line above
from hostile.test_bombs import start_in_trial, wait_until_it_says_so  # noqa: E402 - the same

KINDS = ("processes", "memory", "processor", "tmp", "output")
CELL = "sum(i * i for i in range(3_000_000))"


@contextmanager
def bomb(scene: Scene, name: str) -> Iterator[None]:
    """It runs in a trial of Mallory's while the block does."""
    handle = start_in_trial(scene, name)
    wait_until_it_says_so(handle)
    try:
        yield
    finally:
        handle.cancel()
        wait_until("the end of the bomb", lambda: handle.refresh().phase.ended, 40)


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with raise_the_curtain(settings_module.load()) as scene:
        works = {
            "build": scene.ben_can_build,
            "cell": lambda: scene.server(scene.ben).run(f"print({CELL})", 120),
        }
        for work in works.values():
            work()  # once for what only the first time costs
        alone: dict[str, list[float]] = {name: [] for name in works}
        beside: dict[tuple[str, str], list[float]] = {(k, name): [] for k in KINDS for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                alone[name].append(seconds(work))
            for kind in KINDS:
                with bomb(scene, kind):
                    for name, work in works.items():
                        beside[kind, name].append(seconds(work))
    base = {name: statistics.median(times) for name, times in alone.items()}
    ratios = {key: statistics.median(times) / base[key[1]] for key, times in beside.items()}
    for (kind, name), ratio in ratios.items():
        took = statistics.median(beside[kind, name])
        print(f"{name} beside a bomb of {kind}: {took:.2f} s, {ratio:.2f} times {base[name]:.2f} s alone")
    worst = {name: round(max(r for (_, n), r in ratios.items() if n == name), 2) for name in works}
    print(
        json.dumps({"bench": "bomb", "ratio": worst, "against": "the same without a bomb", "rounds": rounds})
    )


if __name__ == "__main__":
    main()
