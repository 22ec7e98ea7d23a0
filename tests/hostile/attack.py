"""The shape of an attack, and what every attack is judged by.

A file of attacks is a table and three lines; nothing else is needed:

    from hostile.attack import Attack, Scene, table

    def _reads_bens_job(scene: Scene) -> None:
        answer = scene.mallory.http.get(f"/jobs/{scene.ben.job}")
        assert answer.status_code == 404

    ATTACKS = (
        Attack(
            area="api",
            name="read-a-job-of-ben",
            tries="reads Ben's job by its id",
            must_hold="it is not found, as if there were none",
            layer="owner check",
            run=_reads_bens_job,
        ),
    )

    @table(ATTACKS)
    def test_api(attack: Attack, scene: Scene) -> None:
        scene.attempt(attack)

`run` raises AssertionError when the attack *succeeded*. It runs against the real lab, as `scene.mallory` against
`scene.ben` (see `scene.py` for what each has, and for `scene.once`, which shares a costly result between attacks).
`places.py` runs the probes of `inside/` in a trial, a build, an exec, a deployment or a notebook: many in one run.

After each attack `attempt` looks at what must hold always: the canary file of the host is untouched and nothing has
connected to `scene.listener`. Attacks that eat something run inside `scene.host_steady()`, and call
`scene.ben_can_build()` meanwhile.

`layer` names what stops it: the summary at the end counts attacks by area and by layer. Words in use: ``policy``
(spec and request rules), ``dockerfile`` (generated text), ``builder limit``, ``engine flag``, ``container flag``,
``warden`` (authorization plugin), ``firewall``, ``proxy`` (egress), ``token``, ``scope``, ``owner check``, ``guard``
(bodies, time-outs), ``gateway``, ``InfluxDB rights``, ``query gate``, ``registry token``, ``swarm``, ``disk bound``,
``quota``, ``hub``, ``broker`` (MQTT), ``quoted names`` (in statements that the lab writes itself),
``origin`` (the browser keeps pages of different names apart).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hostile.scene import Scene

__all__ = ["Attack", "Scene", "table"]


@dataclass(frozen=True)
class Attack:
    """One thing that an attacker tries."""

    area: str
    """What is attacked: ``api``, ``specs``, ``uploads``, ``containers``, ``bombs``, ``network``, ``registry`` ..."""
    name: str
    """Readable id, unique in its table: lower-case words with hyphens."""
    tries: str
    """What is tried, as a verb phrase: "reads Ben's job by its id"."""
    must_hold: str
    """What must remain true."""
    layer: str
    """What stops it: one of the words above."""
    run: Callable[[Scene], None]
    """Tries it. Raises AssertionError when it succeeded."""

    def __str__(self) -> str:
        return f"{self.area}/{self.name}: {self.tries}; must hold: {self.must_hold}"


def table(attacks: Sequence[Attack]) -> Callable[[Any], Any]:
    """Parametrize a test with a table of attacks, one test each, named by the attack."""
    names = [attack.name for attack in attacks]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two attacks have the same name: {', '.join(sorted(twice))}")

    def decorate(test: Any) -> Any:
        marked = pytest.mark.engine(test)
        return pytest.mark.parametrize("attack", attacks, ids=names)(marked)

    return decorate
