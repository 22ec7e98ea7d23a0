"""Builds: started here, watched as jobs."""

from __future__ import annotations

from typing import Annotated

from cyberlab.wire import BuildRequest, Job, JobKind
from fastapi import APIRouter, Query, Request

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab
from cyberlab_hub.service.routes.jobs import watching

router = APIRouter(prefix="/builds", tags=["builds"])


@router.post("", status_code=202)
def start_build(lab: Lab, caller: User, request: Request, body: BuildRequest) -> Job:
    """Build an image from a form. The same form again gives a job that has ended, with the image there is."""
    request.state.object = f"{caller.name}/{body.spec.name}"
    return lab.builds.start(caller.name, body.spec)


@router.get("")
def list_builds(lab: Lab, caller: User, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[Job]:
    """Your builds, newest first."""
    return lab.jobs.rows.newest(caller.name, JobKind.BUILD, limit)


watching(router, JobKind.BUILD, "build")


@router.delete("/{job}", status_code=202)
def stop_build(lab: Lab, caller: User, job: str) -> Job:
    """The same as cancelling it."""
    return lab.jobs.cancel(caller.name, job, JobKind.BUILD)
