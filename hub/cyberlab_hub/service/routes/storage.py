"""What readings take up, how long they are kept, their means, and deleting them: always one's own."""

from __future__ import annotations

from anyio import to_thread
from cyberlab.wire_keep import (
    ForgetWish,
    Forgotten,
    MeansRule,
    MeansStop,
    MeansWish,
    OwnerStorage,
    RetentionWish,
    Storage,
)
from fastapi import APIRouter, Request

from cyberlab_hub.service.auth import Administrator, User
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/storage", tags=["data"])


@router.get("")
def read_storage(lab: Lab, caller: User) -> Storage:
    """How much space your readings take up, and how long they are kept."""
    return lab.keeping.storage(caller.name)


@router.get("/owners", tags=["administration"])
async def list_storage(lab: Lab, _caller: Administrator) -> list[OwnerStorage]:
    """What everybody's readings take up, the most first, and whose account is gone."""
    return await to_thread.run_sync(lab.owners.all, await lab.auth.hub.users())


@router.put("/retention")
def set_retention(lab: Lab, caller: User, request: Request, body: RetentionWish) -> Forgotten:
    """Keep your readings for so many days and delete older ones. Without `really`: only say how many that would be."""
    request.state.changes_nothing = not body.really
    request.state.object = f"{caller.name}: {body.days} days"
    return lab.keeping.keep(caller.name, body.days, really=body.really)


@router.post("/forget")
def forget_readings(lab: Lab, caller: User, request: Request, body: ForgetWish) -> Forgotten:
    """Delete readings of your own. Without `really`: only say how many that would be."""
    request.state.changes_nothing = not body.really
    request.state.object = f"{caller.name}: {body.measurement}"
    return lab.keeping.forget(caller.name, body)


@router.put("/means", status_code=202)
def make_means(lab: Lab, caller: User, request: Request, body: MeansWish) -> MeansRule:
    """Make means, smallest and largest values of windows, of what there is (in the background) and of what comes."""
    request.state.object = f"{caller.name}: {body.measurement} {body.every}"
    return lab.keeping.downsample(caller.name, body)


@router.post("/means/stop")
def stop_means(lab: Lab, caller: User, request: Request, body: MeansStop) -> list[MeansRule]:
    """Make no more of them. What was made stays, for as long as the rule said."""
    request.state.object = f"{caller.name}: {body.measurement} {body.every or ''}".rstrip()
    return list(lab.keeping.stop_means(caller.name, body.measurement, body.every))
