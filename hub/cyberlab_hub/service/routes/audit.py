"""The audit, for administrators."""

from __future__ import annotations

from typing import Annotated

from cyberlab.wire import AuditEntry
from fastapi import APIRouter, Query

from cyberlab_hub.service.auth import Administrator
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/audit", tags=["administration"])


@router.get("")
def list_audit(
    lab: Lab, _caller: Administrator, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[AuditEntry]:
    """Who changed what and who was refused, newest first."""
    return lab.audit.newest(limit)
