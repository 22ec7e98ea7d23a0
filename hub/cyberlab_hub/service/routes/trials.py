"""Trials: started here, watched as jobs."""

from __future__ import annotations

from typing import Annotated

from cyberlab.wire import ExecRequest, ExecResult, Job, JobKind, TrialRequest
from fastapi import APIRouter, Query, Request

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab
from cyberlab_hub.service.routes.jobs import watching

router = APIRouter(prefix="/trials", tags=["trials"])


@router.post("", status_code=202)
def start_trial(lab: Lab, caller: User, request: Request, body: TrialRequest) -> Job:
    """Run one of your images once, for a limited time."""
    request.state.object = body.image
    return lab.trials.start(caller.name, body)


@router.get("")
def list_trials(lab: Lab, caller: User, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[Job]:
    """Your trials, newest first."""
    return lab.jobs.rows.newest(caller.name, JobKind.TRIAL, limit)


watching(router, JobKind.TRIAL, "trial")


@router.delete("/{job}", status_code=202)
def stop_trial(lab: Lab, caller: User, job: str) -> Job:
    """The same as cancelling it."""
    return lab.jobs.cancel(caller.name, job, JobKind.TRIAL)


@router.post("/{job}/exec", responses={409: {"description": "It does not run: `trial-not-running`"}})
def exec_in_trial(lab: Lab, caller: User, job: str, body: ExecRequest) -> ExecResult:
    """Run a command inside a running trial, for at most 30 s."""
    return lab.trials.exec(caller.name, job, body.command)
