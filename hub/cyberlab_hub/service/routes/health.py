"""Which parts answer."""

from __future__ import annotations

from cyberlab.wire import Health
from fastapi import APIRouter

from cyberlab_hub.service.parts import Lab

router = APIRouter(tags=["lab"])


@router.get("/health")
async def read_health(lab: Lab) -> Health:
    """Every part of the lab and whether it answers. Needs no token; 200 always."""
    return Health(parts=await lab.health.parts())
