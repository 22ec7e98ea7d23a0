"""Where each process of the lab answers, and whether it does."""

from __future__ import annotations

import httpx

from cyberlab_hub import reach
from cyberlab_hub.settings import Settings


def health_urls(settings: Settings) -> dict[str, str]:
    """Process name -> URL that answers 200 when it is well."""
    return {
        "lab": f"{settings.lab_url}/services/lab/api/v1/health",
        "ingest": f"{settings.ingest_url}/health",
        "hub": f"{settings.public_url}/hub/health",
    }


def healthy(settings: Settings, url: str, seconds: float = 5) -> bool:
    """Whether `url` answers 200 within `seconds`; TLS is checked (`reach.trust`)."""
    try:
        with reach.client(settings, timeout=seconds) as client:
            return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False
