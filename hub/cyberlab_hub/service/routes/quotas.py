"""Quotas: one's own for everybody, the table for administrators."""

from __future__ import annotations

from typing import Annotated, Literal

from anyio import to_thread
from cyberlab.spec import names
from cyberlab.wire import QuotaSetting, QuotaTable, QuotaUse, QuotaValue
from fastapi import APIRouter, Path, Request

from cyberlab_hub.errors import NotFound
from cyberlab_hub.service import policy
from cyberlab_hub.service.auth import Administrator, User
from cyberlab_hub.service.parts import Lab
from cyberlab_hub.service.quota_table import QUOTAS
from cyberlab_hub.service.usage import usage

router = APIRouter(prefix="/quotas")

Kind = Literal["user", "group"]
Subject = Annotated[str, Path(max_length=255, description="Name of the user or of the hub's group")]
Name = Annotated[str, Path(max_length=32, description="`builds`, `images`, `gigabytes` ...")]


@router.get("/mine", tags=["quotas"])
def list_own_quotas(lab: Lab, caller: User) -> list[QuotaUse]:
    """What you may use, what you use now, and why it is so much."""
    return usage(lab, caller.name)


@router.get("", tags=["administration"])
def list_quotas(lab: Lab, _caller: Administrator) -> QuotaTable:
    """The defaults, and every user and group with another value."""
    defaults = tuple(policy.default(name).view() for name in QUOTAS)
    return QuotaTable(defaults=defaults, settings=tuple(lab.quotas.settings()))


@router.get("/user/{subject}", tags=["administration"])
def list_quotas_of_user(lab: Lab, _caller: Administrator, subject: Subject) -> list[QuotaUse]:
    """What a user may use and uses now."""
    return usage(lab, subject)


@router.put("/{kind}/{subject}/{quota}", tags=["administration"])
async def set_quota(
    lab: Lab,
    _caller: Administrator,
    request: Request,
    kind: Kind,
    subject: Subject,
    quota: Name,
    body: QuotaValue,
) -> QuotaSetting:
    """Give a user or a group another value. Groups may be given one before they exist; users may not."""
    request.state.object = f"{kind}/{subject}/{quota}={body.value}"
    if kind == "user" and not (names.is_name(subject) and await lab.auth.hub.knows(subject)):
        raise NotFound(
            "user-unknown",
            f"The hub knows no user named {names.shown(subject)}. Who never signed in is not known yet.",
        )
    return await to_thread.run_sync(lab.quotas.set, kind, subject, quota, body.value)


@router.delete("/{kind}/{subject}/{quota}", tags=["administration"], status_code=204)
def unset_quota(lab: Lab, _caller: Administrator, kind: Kind, subject: Subject, quota: Name) -> None:
    """Take the value back: groups or the default count again."""
    lab.quotas.unset(kind, subject, quota)
