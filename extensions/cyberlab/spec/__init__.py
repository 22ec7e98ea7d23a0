"""The pure heart of the lab: specs, their rules and the text rendered from them. No I/O."""

from cyberlab.spec.deployment import DeploymentSpec
from cyberlab.spec.image import FileEntry, ImageSpec

__all__ = ["DeploymentSpec", "FileEntry", "ImageSpec"]
