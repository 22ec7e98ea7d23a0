"""The MQTT broker's container. Who may sign in there is written by the ingest gateway, in a folder that both see."""

from __future__ import annotations

import docker

from cyberlab_hub.ingest.mqtt.bridge import SECRET, prepare
from cyberlab_hub.ingest.mqtt.logins import PASSWORDS
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers


def ensure(settings: Settings, engine: docker.DockerClient) -> str:
    """Make or start the broker. Raises: Reused when it runs as described."""
    settings.mqtt_folder.mkdir(exist_ok=True)
    settings.mqtt_folder.chmod(0o700)  # the container gets the one folder in it
    if not (settings.mqtt_folder / "logins" / PASSWORDS).exists():
        prepare(settings.mqtt_folder, settings.secret(SECRET))
    return containers.ensure(settings, engine, containers.mqtt(settings))
