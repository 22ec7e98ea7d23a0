"""The engine's clients get a new certificate long before the old one ends, as long as the service runs."""

from __future__ import annotations

import asyncio
import logging

from cyberlab_hub import certs
from cyberlab_hub.settings import Settings

CHECK_SECONDS = 600.0
"""A certificate lives a day and is renewed when a third of it is left: some fifty tries before it is too late."""

log = logging.getLogger("cyberlab.service")


async def keep_certificates(settings: Settings, seconds: float = CHECK_SECONDS) -> None:
    """Look every `seconds`, until cancelled. What goes wrong is logged and tried again."""
    while True:
        try:
            made = await asyncio.to_thread(certs.ensure_clients, settings)
        except (OSError, ValueError, TypeError) as error:
            log.error("the engine's client certificates were not renewed: %s", error)  # noqa: TRY400 - one line is enough
        else:
            if made:
                log.info("renewed the engine's client certificates: %s", ", ".join(made))
        await asyncio.sleep(seconds)
