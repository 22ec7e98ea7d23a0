"""Devices."""

from __future__ import annotations

from cyberlab.wire import Device
from fastapi import APIRouter

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/devices", tags=["devices"])


@router.get("")
def list_devices(lab: Lab, _caller: User) -> list[Device]:
    """Every device of the lab and its state."""
    return sorted(lab.workshop.devices(), key=lambda device: device.name)
