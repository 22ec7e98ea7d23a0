"""Which code wrote a reading: for the owner of the readings and for those with whom they are shared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cyberlab.spec import names
from cyberlab.wire_origin import Origin, Source
from fastapi import APIRouter, Query, Request

from cyberlab_hub.errors import NotAllowed, NotFound
from cyberlab_hub.ingest.store import COMMON
from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab, Parts
from cyberlab_hub.service.routes.data import Of

router = APIRouter(prefix="/provenance", tags=["data"])

Moment = Annotated[int, Query(ge=-(2**63), lt=2**63, description="Nanoseconds since 1970")]


@router.get("")
def read_provenance(
    lab: Lab,
    caller: User,
    request: Request,
    deployment: Annotated[str, Query(max_length=64, description="The tag `deployment` of the readings")],
    start: Moment,
    stop: Moment,
    device: Annotated[list[str], Query(max_length=500, description="Only what ran on one of these")] = [],  # noqa: B006 - FastAPI copies it
    db: Of = "mine",
) -> list[Origin]:
    """Every version of the deployment that was in force from `start` to `stop`. Values of the environment are shown to
    their owner only. A database that is not shared with you is not found."""
    request.state.object = db
    owner = _owner(lab, caller.name, db)
    return lab.history.origins(
        owner,
        deployment,
        start=_time(start),
        stop=_time(stop),
        devices=frozenset(device),
        own=owner == caller.name,
    )


@router.get("/source")
def read_source(
    lab: Lab,
    caller: User,
    request: Request,
    version: Annotated[int, Query(ge=1, lt=2**31, description="Of an origin")],
    db: Of = "mine",
) -> Source:
    """The files of the image of that version."""
    request.state.object = db
    return lab.history.source(_owner(lab, caller.name, db), version)


def _owner(lab: Parts, caller: str, db: str) -> str:
    """Whose readings `db` means to the caller.

    Raises:
        NotFound: ``origin-unknown``: also of what is not shared: who may not read learns nothing.
    """
    if db in COMMON:
        raise NotFound("origin-unknown", "These readings come from the lab's own programs.")
    try:
        lab.shares.database_for(caller, db)
    except NotAllowed as error:
        raise NotFound("origin-unknown", f"No readings of {names.shown(db)} are known to you.") from error
    return caller if db == "mine" else db


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 10**9, UTC).replace(microsecond=ns // 1000 % 10**6)
