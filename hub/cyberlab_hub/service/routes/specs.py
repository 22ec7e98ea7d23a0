"""Saved forms."""

from __future__ import annotations

from anyio import to_thread
from cyberlab.spec import ImageSpec
from cyberlab.wire import SavedSpec, SpecAdvice
from fastapi import APIRouter, Request

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/specs", tags=["specs"])


@router.get("")
def list_specs(lab: Lab, caller: User) -> list[SavedSpec]:
    """Your saved forms, the last changed first."""
    return lab.specs.of(caller.name)


@router.post("/advice")
async def advise(lab: Lab, caller: User, request: Request, spec: ImageSpec) -> SpecAdvice:
    """What in the form's Dockerfile works and could be better. It never stops a build."""
    request.state.changes_nothing = True
    catalogue = await to_thread.run_sync(lab.catalogue.plain)
    return await lab.adviser.about(caller.name, spec, catalogue)


@router.get("/{name}")
def read_spec(lab: Lab, caller: User, name: str) -> SavedSpec:
    return lab.specs.get(caller.name, name)


@router.put("/{name}", responses={409: {"description": "Another form has the name: `name-taken`"}})
def save_spec(lab: Lab, caller: User, name: str, spec: ImageSpec, replace: bool = False) -> SavedSpec:
    """Keep a form under its name, finished or not."""
    return lab.specs.save(caller.name, name, spec, replace=replace)


@router.delete("/{name}", status_code=204)
def delete_spec(lab: Lab, caller: User, name: str) -> None:
    lab.specs.delete(caller.name, name)
