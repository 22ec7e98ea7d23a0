"""What the form may offer, and who is asking."""

from __future__ import annotations

from cyberlab.wire import Catalogue, Me
from fastapi import APIRouter

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab

router = APIRouter(tags=["lab"])


@router.get("/catalogue")
def read_catalogue(lab: Lab, _caller: User) -> Catalogue:
    """Base images, the libraries that fit each, the run scenarios that fit both."""
    return lab.catalogue.now()


@router.get("/me")
async def read_me(caller: User) -> Me:
    """Whose token this is."""
    return Me(name=caller.name)
