"""What runs on a Raspberry Pi: the point contract, `publish` for user code, sensors and the agent.

Standard library only: a Pi installs nothing but this folder.
"""

from cyberlab_edge.points import Point, PointError
from cyberlab_edge.publish import flush, publish

__all__ = ["Point", "PointError", "flush", "publish"]
