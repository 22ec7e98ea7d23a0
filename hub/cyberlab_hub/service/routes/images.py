"""Images."""

from __future__ import annotations

from typing import Annotated

from cyberlab.wire import Image
from fastapi import APIRouter, Path

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/images", tags=["images"])


@router.get("")
def list_images(lab: Lab, caller: User) -> list[Image]:
    """Your images, newest first."""
    return lab.images.of(caller.name)


@router.delete(
    "/{name}/{version}", status_code=204, responses={409: {"description": "It is deployed: `image-in-use`"}}
)
def delete_image(
    lab: Lab, caller: User, name: str, version: Annotated[int, Path(ge=1, le=999_999_999)]
) -> None:
    lab.images.delete(caller.name, name, version)
