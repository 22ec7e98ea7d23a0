"""Archives: what is in them, as files of a spec."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from cyberlab.wire import Unpacked
from fastapi import APIRouter, Body, Query, Request

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/files", tags=["specs"])

Packed = Annotated[
    bytes, Body(media_type="application/octet-stream", description="A zip, tar, tar.gz, tar.xz or tar.bz2")
]


@router.post("/unpack")
async def unpack_archive(
    lab: Lab,
    caller: User,
    request: Request,
    body: Packed,
    without_top: Annotated[
        bool, Query(description="When everything lies in one folder, leave that folder out")
    ] = False,
) -> Unpacked:
    """The files of an archive, to put into a form. Nothing is kept."""
    request.state.changes_nothing = True
    catalogue = await to_thread.run_sync(lab.catalogue.plain)
    return await lab.uploads.unpack(caller.name, body, catalogue.limits, without_top=without_top)
