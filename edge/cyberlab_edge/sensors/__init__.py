"""Sensors that need no hardware: a real recording played back, and the computer itself."""

from cyberlab_edge.sensors.machine import Machine, system
from cyberlab_edge.sensors.reading import Reading
from cyberlab_edge.sensors.recorded import replay

__all__ = ["Machine", "Reading", "replay", "system"]
