"""`DeploymentSpec`: an image on a selection of devices."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DeploymentSpec(BaseModel):
    """What to run where. Becomes exactly one Swarm service."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Same rule as an image name; unique per owner. Deploying the same name again updates it in place."""
    image: str
    """An image of the owner: ``name`` (newest version) or ``name:version``."""
    devices: tuple[str, ...] = ()
    """Device names. May be combined with `cluster`; together they must select at least one device."""
    cluster: str | None = None
    """Every device of this cluster."""
    env: dict[str, str] = Field(default_factory=dict)
    """Added to (and over) the image's environment."""
    command: tuple[str, ...] = ()
    """argv instead of the image's command."""
