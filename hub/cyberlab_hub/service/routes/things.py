"""Things: what users connect themselves."""

from __future__ import annotations

from cyberlab.wire import NewThing, Thing, ThingRequest
from fastapi import APIRouter, Request

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/things", tags=["things"])


@router.get("")
def list_things(lab: Lab, caller: User) -> list[Thing]:
    """Your things, by name; never their tokens."""
    return lab.things.of(caller.name)


@router.post("", status_code=201, responses={409: {"description": "It is there already: `thing-exists`"}})
def add_thing(lab: Lab, caller: User, request: Request, body: ThingRequest) -> NewThing:
    """A token with which a thing of yours, such as an Arduino, sends readings. It is shown this once."""
    request.state.object = f"{caller.name}/{body.name}"
    return lab.things.add(caller.name, body.name)


@router.delete("/{name}", status_code=204)
def remove_thing(lab: Lab, caller: User, name: str) -> None:
    """Withdraw its token. Its data stays."""
    lab.things.remove(caller.name, name)
