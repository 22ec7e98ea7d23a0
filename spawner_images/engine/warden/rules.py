"""Who may ask what of the engine: the whole table. What it does not name is refused.

    builder    images: builds them, names, pushes, fetches and removes them; reads one file of an image
    runner     trials: their containers, commands in them, their networks
    swarm      deployments: services, tasks, labels of nodes, secrets and configs
    operator   set-up (the swarm itself, its nodes, images loaded) and what an operator looks at or clears away

A part's names begin with the lab's name, so a role touches its own containers only: ``cyberlab-trial-...``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from warden import builds, cages, swarm
from warden.asked import Asked, Refused
from warden.ceilings import Ceilings
from warden.shapes import ANY_TEXT, EMPTY, Shape, exactly, json_text, listed, number, record, text

ROLES = ("builder", "runner", "swarm", "operator")
FILTERS = {"filters": ANY_TEXT}
FLAG = exactly("0", "1", "true", "false", "True", "False")
LOGS = {
    **dict.fromkeys(("follow", "stdout", "stderr", "timestamps", "details"), FLAG),
    "tail": text("all|[0-9]{1,6}"),
    "since": text("[0-9.]{1,20}"),
}
ID = "[A-Za-z0-9][A-Za-z0-9_.-]*"


@dataclass(frozen=True)
class Rule:
    roles: tuple[str, ...]
    method: str
    path: re.Pattern[str]
    must: Mapping[str, Shape] = field(default_factory=dict)
    """Parameters that must be there."""
    may: Mapping[str, Shape] = field(default_factory=dict)
    """Parameters that can be there."""
    params: Shape | None = None
    """Instead of `must` and `may`, where one parameter depends on another."""
    body: Shape | None = EMPTY
    """Of a POST, whose body dockerd must have forwarded. None: it is no JSON (a context, an image), or is nothing."""
    types: tuple[str, ...] = ()
    """Content types of a POST without a JSON body."""

    def check(self, asked: Asked) -> None:
        """Raises Refused."""
        (self.params or record(self.must, self.may))(dict(asked.params), "")
        if asked.method != "POST":
            return
        if self.body is None:
            # a form would override the parameters
            if asked.content_type not in self.types:
                raise Refused(f"may not send a body of the type {asked.content_type[:60]!r} here")
        elif asked.body is None:
            raise Refused("may not send this without a JSON body of less than 1 MB")
        else:
            self.body(asked.body, "")


def decide(asked: Asked, table: tuple[Rule, ...]) -> None:
    """Raises Refused unless a rule of the role allows the request."""
    if asked.role not in ROLES and asked.role != "":
        raise Refused("is no role of this lab")
    for rule in table:
        if asked.role in rule.roles and asked.method == rule.method and rule.path.fullmatch(asked.path):
            return rule.check(asked)
    raise Refused(f"may not {asked.method[:10]} {asked.path[:200]}")


def rules(limits: Ceilings) -> tuple[Rule, ...]:
    """The table under these limits."""
    return (
        *_everybody(),
        *_builder(limits),
        *_runner(limits),
        *_swarm(limits),
        *_operator(),
    )


def _path(template: str, **parts: str) -> re.Pattern[str]:
    """``/containers/{trial}/start``: each name in braces is a pattern of `parts`."""
    pieces = re.split(r"(\{\w+\})", template)
    return re.compile(
        "".join(f"(?:{parts[p[1:-1]]})" if p.startswith("{") else re.escape(p) for p in pieces), re.ASCII
    )


def _everybody() -> Iterator[Rule]:
    for method in ("GET", "HEAD"):
        yield Rule(("", *ROLES), method, _path("/_ping"))
    yield Rule(("", *ROLES), "GET", _path("/version"))
    yield Rule(ROLES, "GET", _path("/info"))


def _builder(limits: Ceilings) -> Iterator[Rule]:
    who = ("builder",)
    registry = re.escape(limits.registry)
    repository = rf"{registry}/[a-z0-9._-]+/[a-z0-9._-]+"
    pushed = rf"{repository}(?::[A-Za-z0-9._-]+|@{cages.DIGEST})?"
    base = r"cyberlab/[a-z0-9-]+(?::[A-Za-z0-9._-]+)?"
    reading = rf"{re.escape(limits.name)}-reading-[a-z0-9]{{8,40}}"
    parts = {"image": rf"{pushed}|{base}|{cages.DIGEST}", "pushed": pushed, "base": base, "reading": reading}
    unused = record(
        {"dangling": exactly(["true"]), "until": listed(text("[0-9]{1,5}h|[0-9]{9,11}"), least=1, most=1)}
    )
    yield Rule(who, "GET", _path("/images/json"), may={**FILTERS, "all": FLAG})
    yield Rule(who, "GET", _path("/images/{image}/json", **parts))
    yield Rule(
        who,
        "POST",
        _path("/images/create"),
        must={"fromImage": text(repository), "tag": text(cages.DIGEST)},
    )
    yield Rule(
        who,
        "POST",
        _path("/images/{base}/tag", **parts),
        must={"repo": text(repository), "tag": text("[A-Za-z0-9._-]{1,128}")},
    )
    yield Rule(
        who, "POST", _path("/images/{pushed}/push", **parts), must={"tag": text("[A-Za-z0-9._-]{1,128}")}
    )
    yield Rule(who, "DELETE", _path("/images/{pushed}", **parts), may={"noprune": FLAG})
    # nameless layers of a build that filled the disk; the engine keeps what a container or another image uses
    yield Rule(who, "DELETE", _path("/images/{digest}", digest=cages.DIGEST))
    yield Rule(who, "POST", _path("/images/prune"), must={"filters": json_text(unused)})
    yield Rule(who, "POST", _path("/build"), params=builds.params(limits), body=None, types=builds.TAR)
    # what a build uses while it runs
    yield Rule(
        who,
        "GET",
        _path("/containers/{running}/stats", running="[0-9a-f]{12,64}"),
        must={"stream": exactly("0")},
        may={"one-shot": exactly("1")},
    )
    # to read what a base says about itself: made, read, removed, never started
    yield Rule(
        who, "POST", _path("/containers/create"), must={"name": text(reading)}, body=cages.reading(limits)
    )
    yield Rule(
        who,
        "GET",
        _path("/containers/{reading}/archive", **parts),
        must={"path": exactly("/usr/share/cyberlab/versions.json")},
    )
    yield Rule(who, "DELETE", _path("/containers/{reading}", **parts), may={"force": FLAG, "v": FLAG})


def _runner(limits: Ceilings) -> Iterator[Rule]:
    who = ("runner",)
    trial = rf"{re.escape(limits.name)}-trial-[a-z0-9-]{{6,60}}"
    parts = {"trial": trial, "exec": "[0-9a-f]{64}", "network": cages.trial_networks(limits)}
    yield Rule(who, "GET", _path("/containers/json"), may={**FILTERS, "all": FLAG})
    yield Rule(who, "POST", _path("/containers/create"), must={"name": text(trial)}, body=cages.trial(limits))
    yield Rule(who, "POST", _path("/containers/{trial}/start", **parts))
    yield Rule(who, "POST", _path("/containers/{trial}/stop", **parts), may={"t": number(0, 60)})
    yield Rule(who, "GET", _path("/containers/{trial}/logs", **parts), may=LOGS)
    yield Rule(who, "GET", _path("/containers/{trial}/json", **parts))
    yield Rule(who, "DELETE", _path("/containers/{trial}", **parts), may={"force": FLAG, "v": FLAG})
    yield Rule(who, "POST", _path("/containers/{trial}/exec", **parts), body=cages.COMMAND)
    yield Rule(who, "POST", _path("/exec/{exec}/start", **parts), body=cages.COMMAND_START)
    yield Rule(who, "GET", _path("/exec/{exec}/json", **parts))
    yield Rule(who, "GET", _path("/networks/{network}", **parts))
    yield Rule(who, "POST", _path("/networks/create"), body=cages.network(limits))


def _swarm(limits: Ceilings) -> Iterator[Rule]:
    who = ("swarm",)
    version = {"version": number(0, 10**15)}
    for listing in ("/services", "/tasks", "/nodes", "/secrets", "/configs"):
        yield Rule(who, "GET", _path(listing), may=FILTERS)
    for one in ("/services/{id}", "/nodes/{id}", "/secrets/{id}", "/configs/{id}"):
        yield Rule(who, "GET", _path(one, id=ID))
    yield Rule(who, "POST", _path("/services/create"), body=swarm.service(limits))
    yield Rule(
        who,
        "POST",
        _path("/services/{id}/update", id=ID),
        must=version,
        may={"rollback": exactly("previous")},
        body=swarm.service(limits),
    )
    yield Rule(who, "DELETE", _path("/services/{id}", id=ID))
    yield Rule(who, "GET", _path("/services/{id}/logs", id=ID), may=LOGS)
    yield Rule(who, "POST", _path("/nodes/{id}/update", id=ID), must=version, body=swarm.node("worker"))
    for kind, name in (("secrets", "token"), ("configs", "ca")):
        yield Rule(who, "POST", _path(f"/{kind}/create"), body=swarm.kept(limits, name))
    yield Rule(who, "DELETE", _path("/secrets/{id}", id=ID))


def _operator() -> Iterator[Rule]:
    who = ("operator",)
    anything: Callable[..., None] = lambda *_: None  # noqa: E731 - a shape is a function of two arguments
    version = {"version": number(0, 10**15)}
    rotate = dict.fromkeys(("rotateWorkerToken", "rotateManagerToken", "rotateManagerUnlockKey"), FLAG)
    yield Rule(who, "POST", _path("/swarm/init"), body=swarm.new_swarm)
    yield Rule(who, "GET", _path("/swarm"))
    yield Rule(who, "POST", _path("/swarm/update"), must=version, may=rotate, body=anything)
    yield Rule(
        who, "POST", _path("/nodes/{id}/update", id=ID), must=version, body=swarm.node("worker", "manager")
    )
    yield Rule(who, "DELETE", _path("/nodes/{id}", id=ID), may={"force": FLAG})
    yield Rule(
        who, "POST", _path("/images/load"), may={"quiet": FLAG}, body=None, types=("application/x-tar", "")
    )
    for listing in (
        "/containers/json",
        "/images/json",
        "/networks",
        "/services",
        "/tasks",
        "/nodes",
        "/system/df",
    ):
        yield Rule(who, "GET", _path(listing), params=anything)
    for one in ("/nodes/{id}", "/services/{id}", "/containers/{id}/json", "/networks/{id}"):
        yield Rule(who, "GET", _path(one, id=ID), params=anything)
    yield Rule(who, "GET", _path("/images/{image}/json", image="[a-z0-9][A-Za-z0-9._:/@-]*"))
    for which in ("services", "containers"):
        yield Rule(who, "GET", _path(f"/{which}/{{id}}/logs", id=ID), may=LOGS)
    for what in ("containers", "images", "build", "networks"):
        yield Rule(
            who, "POST", _path(f"/{what}/prune"), params=anything, body=None, types=("", "application/json")
        )
