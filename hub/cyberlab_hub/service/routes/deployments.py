"""Deployments."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

from anyio import to_thread
from cyberlab.spec import DeploymentSpec
from cyberlab.wire import Deployment, Job
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab
from cyberlab_hub.service.streams import MEDIA_TYPE, HeldResponse, Pump, pumped

router = APIRouter(prefix="/deployments", tags=["deployments"])

LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {}}, "description": "One `LogLine` each, then `end`"}
}


@router.post("", status_code=202)
def start_deployment(lab: Lab, caller: User, request: Request, body: DeploymentSpec) -> Job:
    """Put an image on devices. The same name again updates it in place."""
    request.state.object = f"{caller.name}/{body.name}"
    return lab.deployments.start(caller.name, body)


@router.get("")
def list_deployments(lab: Lab, caller: User) -> list[Deployment]:
    """Your deployments, by name."""
    return lab.deployments.of(caller.name)


@router.get("/{name}")
def read_deployment(lab: Lab, caller: User, name: str) -> Deployment:
    return lab.deployments.get(caller.name, name)


@router.delete(
    "/{name}", status_code=204, responses={409: {"description": "It is being started: `deployment-busy`"}}
)
def remove_deployment(lab: Lab, caller: User, name: str) -> None:
    """Stop it on every device and end its token."""
    lab.deployments.remove(caller.name, name)


@router.get("/{name}/logs", responses=LINES, response_class=StreamingResponse)
async def read_logs(
    lab: Lab,
    caller: User,
    name: str,
    tail: Annotated[int, Query(ge=0, le=5000, description="Lines of each device")] = 100,
    follow: bool = False,
) -> StreamingResponse:
    """What the program writes, from all its devices, as server-sent events."""
    lines = await to_thread.run_sync(lab.deployments.logs, caller.name, name, tail, follow)
    allowed = await to_thread.run_sync(lab.quotas.of, caller.name, "streams")
    with ExitStack() as held:
        held.enter_context(lab.streams.one_more(caller.name, allowed))
        pump = Pump(lines)
        held.callback(pump.stop)
        await pump.ready(1.0)
        return HeldResponse(pumped(pump), held.pop_all(), MEDIA_TYPE)
