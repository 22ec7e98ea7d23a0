"""Who may read whose readings."""

from __future__ import annotations

from anyio import to_thread
from cyberlab.spec import names
from cyberlab.wire import Problem, Share
from fastapi import APIRouter

from cyberlab_hub.errors import NotFound, SpecRefused
from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/shares", tags=["shares"])


@router.get("")
def list_shares(lab: Lab, caller: User) -> list[Share]:
    """Those you gave and those you received."""
    return lab.shares.of(caller.name)


@router.put("/{reader}")
async def give_share(lab: Lab, caller: User, reader: str) -> Share:
    """Let another user read all your readings."""
    if reader == caller.name:
        message = "You can read your own readings already. Name another user."
        problem = Problem(path="reader", code="reader-is-owner", message=message)
        raise SpecRefused("spec-refused", message, (problem,))
    if not names.is_name(reader) or not await lab.auth.hub.knows(reader):
        raise NotFound("user-unknown", f"There is no user named {names.shown(reader)} in this lab.")
    return await to_thread.run_sync(lab.shares.give, caller.name, reader)


@router.delete("/{reader}", status_code=204)
def take_share_back(lab: Lab, caller: User, reader: str) -> None:
    lab.shares.take_back(caller.name, reader)
