"""Where this machine gets packages from: the names that the word ``packages`` stands for.

Found out, not listed: apt's sources, pip's index and the hosts its pages link to, npm's registry. What was found is
kept in the state folder, so that a lab that starts while its network is away keeps its list.
"""

from __future__ import annotations

import json
import os
import re
import sys
from urllib.parse import urljoin, urlsplit

import httpx

from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.images import debian_sources, npm_registry, os_release, output

SECONDS = 20
PROBE = "pip"
"""A package that every index of Python packages and every registry of npm packages has."""
DEFAULT_PORTS = {"http": 80, "https": 443}

Place = tuple[str, int]


def package_places(settings: Settings) -> tuple[Place, ...]:
    """Host and port of every mirror. Falls back to what was found the last time."""
    before = kept_places(settings)
    index = pip_index()
    found = {place(url) for url in (*apt_urls(), index, npm_registry())}
    linked = _linked_hosts(index)
    found |= linked if linked else set(before)
    places = tuple(sorted(p for p in found if p is not None))
    (settings.state / "packages.json").write_text(json.dumps(places))
    return places


def kept_places(settings: Settings) -> tuple[Place, ...]:
    """What `package_places` found the last time, without asking anybody."""
    kept = settings.state / "packages.json"
    return tuple((host, port) for host, port in json.loads(kept.read_text())) if kept.exists() else ()


def place(url: str) -> Place | None:
    """Host and port of an http(s) URL; None for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        return None
    return parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]


def apt_urls() -> list[str]:
    """The archives of this machine for Debian itself."""
    lines = debian_sources(os_release()["VERSION_CODENAME"])
    return [match[0] for line in lines if (match := re.search(r"https?://\S+", line))]


def pip_index() -> str:
    """pip's index: the configured one, else the one pip itself comes with."""
    configured = os.environ.get("PIP_INDEX_URL") or output(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    )
    built_in = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return configured or output([sys.executable, "-c", built_in])


def _linked_hosts(index: str) -> set[Place | None]:
    """An index links to files that often lie on another host."""
    url = f"{index.rstrip('/')}/{PROBE}/"
    try:
        page = httpx.get(url, timeout=SECONDS, follow_redirects=True)
        page.raise_for_status()
    except (httpx.HTTPError, ValueError):
        return set()
    links = re.findall(r'href="([^"#]+)', page.text)
    return {place(urljoin(str(page.url), link)) for link in links}
