"""What every device of the lab has in the same place."""

from __future__ import annotations

BRIDGE = "172.17.0.1"
"""The device on its own container bridge, which nothing leaves."""
HERE = (BRIDGE, "127.0.0.1")
"""Places that no network reaches."""
INTAKE_PORT = 8087
INTAKE = f"{BRIDGE}:{INTAKE_PORT}"
"""Where the agent takes the points of the device's containers."""
