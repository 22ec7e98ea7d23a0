"""The lab's own images on the system engine. An image is built only when its content changed.

Each folder of `spawner_images` is one image; ``context.txt`` in it names what else of the checkout goes into the build.
The tree starts with a root file system from the distribution's packages (`mmdebstrap`, the host's own mirrors), so
nothing is ever pulled. The label `org.cyberlab.content` is a hash of the context and of the parent image.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import docker

from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import ROOT, Settings
from cyberlab_hub.setup.steps import Reused

CONTENT = "org.cyberlab.content"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_SECONDS = 1200


def reference(image: str) -> str:
    return f"cyberlab/{image}"


# ---------------------------------------------------------------- the root file system
def ensure_rootfs(engine: docker.DockerClient, settings: Settings) -> str:
    """Make `cyberlab/rootfs` by mmdebstrap. Raises Reused when it is there for this release."""
    release = os_release()
    found = _find(engine, reference("rootfs"))
    if found is not None and found.labels.get("org.cyberlab.suite") == release["VERSION_CODENAME"]:
        raise Reused(f"{release['PRETTY_NAME']} root file system")
    if release.get("ID") != "debian":
        raise SetupError(
            "not-debian", f"the lab builds its images from Debian packages; this is {release.get('ID')}"
        )
    suite = release["VERSION_CODENAME"]
    with tempfile.TemporaryDirectory(dir=settings.state) as scratch:
        sources = Path(scratch) / "sources.list"
        sources.write_text("\n".join(debian_sources(suite)) + "\n")
        tar = Path(scratch) / "rootfs.tar"
        argv = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates"]
        argv += [
            f"--dpkgopt=path-exclude={p}"
            for p in ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
        ]
        done = subprocess.run(
            [*argv, suite, str(tar), str(sources)], capture_output=True, text=True, timeout=600
        )
        if done.returncode:
            raise SetupError("rootfs-failed", f"mmdebstrap: {done.stderr.strip()[-500:]}")
        with tar.open("rb") as file:
            engine.api.import_image_from_data(
                file, repository=reference("rootfs"), changes=[f"LABEL org.cyberlab.suite={suite}"]
            )
    return f"{release['PRETTY_NAME']}, from packages"


def os_release() -> dict[str, str]:
    pairs = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {key: shlex.split(value)[0] if value else "" for key, _, value in pairs}


def debian_sources(suite: str) -> list[str]:
    """One-line apt sources of this host for Debian itself: its mirrors, without third-party archives."""
    lines: list[str] = []
    folder = Path("/etc/apt/sources.list.d")
    for path in [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]:
        if path.exists():
            lines += [x.strip() for x in path.read_text().splitlines() if x.startswith("deb ")]
    for path in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            lines += _one_liners(stanza)
    wanted = re.compile(rf"deb (\[[^\]]*\] )?\S+ {re.escape(suite)}(-security|-updates)? .*\bmain\b.*")
    found = [line for line in lines if wanted.fullmatch(line)]
    if not found:
        raise SetupError("apt-sources", f"no apt source of this machine offers Debian {suite} main")
    return list(dict.fromkeys(found))


def _one_liners(stanza: str) -> list[str]:
    pairs = (x.partition(":") for x in stanza.splitlines() if ":" in x and not x.startswith("#"))
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    if fields.get("types", "").split()[:1] != ["deb"] or fields.get("enabled", "yes") == "no":
        return []
    signed = fields.get("signed-by", "")
    option = f"[signed-by={signed}] " if signed.startswith("/") else ""
    return [
        f"deb {option}{uri} {suite} {fields.get('components', 'main')}"
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
    ]


# ---------------------------------------------------------------- images from folders
def ensure_image(engine: docker.DockerClient, image: str) -> str:
    """Build ``spawner_images/IMAGE`` when its content or its parent changed. Raises Reused otherwise."""
    folder = ROOT / "spawner_images" / image
    entries = context_entries(folder, machine_settings() if image == "debian" else {})
    content = content_hash(engine, folder, entries)
    found = _find(engine, reference(image))
    if found is not None and found.labels.get(CONTENT) == content:
        raise Reused(f"image {reference(image)} unchanged")
    build(engine, reference(image), entries, {CONTENT: content})
    size = _find(engine, reference(image)).attrs["Size"] / 1e6
    return f"image {reference(image)}, {size:.0f} MB"


def context_entries(folder: Path, extra: dict[str, bytes]) -> dict[str, tuple[bytes, int]]:
    """Everything the build sees: path in the context -> (content, mode)."""
    sources = {p.relative_to(folder).as_posix(): p for p in _files(folder)}
    listed = folder / "context.txt"
    for line in listed.read_text().split() if listed.exists() else []:
        path = ROOT / line
        sources |= {p.relative_to(ROOT).as_posix(): p for p in (_files(path) if path.is_dir() else [path])}
    entries = {
        name: (p.read_bytes(), 0o755 if os.access(p, os.X_OK) else 0o644) for name, p in sources.items()
    }
    return entries | {name: (content, 0o644) for name, content in extra.items()}


def _files(folder: Path) -> list[Path]:
    skip = {"__pycache__", ".ipynb_checkpoints", "node_modules"}
    return sorted(
        p
        for p in folder.rglob("*")
        if p.is_file()
        and not skip.intersection(p.parts)
        and not any(x.endswith(".egg-info") for x in p.parts)
    )


def content_hash(engine: docker.DockerClient, folder: Path, entries: dict[str, tuple[bytes, int]]) -> str:
    digest = hashlib.sha256()
    parent = re.search(r"^FROM (\S+)", (folder / "Dockerfile").read_text(), re.M)
    base = _find(engine, parent[1]) if parent else None
    digest.update((base.id if base is not None else "").encode())
    for name in sorted(entries):
        content, mode = entries[name]
        digest.update(f"{name}\0{mode}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def context_tar(entries: dict[str, tuple[bytes, int]]) -> io.BytesIO:
    """A tar with fixed times and owners, so that the build cache sees equal files as equal."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in sorted(entries):
            content, mode = entries[name]
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    stream.seek(0)
    return stream


def build(
    engine: docker.DockerClient, ref: str, entries: dict[str, tuple[bytes, int]], labels: dict[str, str]
) -> None:
    """Build by the classic builder. Raises SetupError with the last lines of the log."""
    proxies = {k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy", "no_proxy")}
    if not proxies and (site := site_proxy()):
        proxies = {"http_proxy": site, "https_proxy": site}
    log: list[str] = []
    events: Any = engine.api.build(
        fileobj=context_tar(entries),
        custom_context=True,
        tag=ref,
        rm=True,
        forcerm=True,
        decode=True,
        labels=labels,
        buildargs=proxies,
        timeout=BUILD_SECONDS,
    )
    for event in events:
        log.append(event.get("stream", ""))
        if "error" in event:
            tail = "".join(log)[-1500:]
            raise SetupError("image-failed", f"building {ref} failed: {event['error']}\n{tail}")


def machine_settings() -> dict[str, bytes]:
    """What a container needs to reach packages as this machine does: CA bundle and mirrors.

    Not the site's proxy: users' code has the lab's own, and only the lab's own images are built without it.
    """
    if not BUNDLE.exists():
        raise SetupError("ca-missing", f"{BUNDLE} is missing; install the package ca-certificates")
    found = {"settings/etc/ssl/certs/ca-certificates.crt": BUNDLE.read_bytes()}
    pip = output(["pip", "config", "get", "global.index-url"]) or os.environ.get("PIP_INDEX_URL", "")
    if pip.startswith("http"):
        found["settings/etc/pip.conf"] = f"[global]\nindex-url = {pip}\n".encode()
        found["settings/etc/uv/uv.toml"] = f'index-url = "{pip}"\n'.encode()
    npm = npm_registry()
    if npm.startswith("http"):
        found["settings/etc/npmrc"] = f"registry={npm}\n".encode()
    return found


def npm_registry() -> str:
    return output(["npm", "config", "get", "registry"])


def site_proxy() -> str:
    """The proxy by which this machine reaches packages (``http://host:port``); "" when it needs none."""
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        if os.environ.get(name):
            return os.environ[name]
    said = output(["apt-config", "dump", "--format=%v%n", "Acquire::http::Proxy", "Acquire::https::Proxy"])
    return next((line.rstrip("/") for line in said.splitlines() if line.startswith("http")), "")


def output(argv: list[str]) -> str:
    """What a program of this machine prints; "" when it is not there or fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _find(engine: docker.DockerClient, ref: str) -> Any:
    try:
        return engine.images.get(ref)
    except docker.errors.ImageNotFound:
        return None
