from __future__ import annotations

import tarfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import ROOT
from cyberlab_hub.setup import images

DEB822 = """Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
"""


def test_a_deb822_stanza_becomes_one_liners() -> None:
    stanzas = DEB822.split("\n\n")
    assert images._one_liners(stanzas[0]) == [
        "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian bookworm-updates main contrib",
    ]
    assert images._one_liners(stanzas[1]) == []


def test_this_machine_offers_debian_and_third_party_archives_are_left_out() -> None:
    suite = images.os_release()["VERSION_CODENAME"]
    sources = images.debian_sources(suite)
    assert sources
    assert all(f" {suite}" in line and " main" in line for line in sources)
    with pytest.raises(SetupError, match="no apt source"):
        images.debian_sources("no-such-suite")


def test_equal_contexts_are_equal_bytes() -> None:
    entries = {"b": (b"2", 0o644), "a": (b"1", 0o755)}
    one, two = images.context_tar(entries), images.context_tar(dict(reversed(entries.items())))
    assert one.read() == two.read()
    one.seek(0)
    with tarfile.open(fileobj=one) as tar:
        assert tar.getnames() == ["a", "b"]


@pytest.mark.parametrize(
    "folder", sorted(p.name for p in (ROOT / "spawner_images").iterdir() if (p / "Dockerfile").exists())
)
def test_what_an_image_copies_is_in_its_context(folder: str) -> None:
    path = ROOT / "spawner_images" / folder
    names = images.context_entries(path, {"settings/x": b""} if folder == "debian" else {})
    for line in (path / "Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not any(w.startswith("--from") for w in words):
            for source in [w for w in words[1:-1] if not w.startswith("--")]:
                patterns = (source, source.rstrip("/") + "/*")
                assert any(fnmatch(n, pattern) for n in names for pattern in patterns), line


def test_the_machine_settings_carry_the_certificate_authorities() -> None:
    assert b"BEGIN CERTIFICATE" in images.machine_settings()["settings/etc/ssl/certs/ca-certificates.crt"]


def test_no_package_host_is_named_in_the_tree() -> None:
    hosts = ["deb." + "debian.org", "files." + "pythonhosted", "registry." + "npmjs"]
    for path in [
        p
        for folder in ("hub", "edge", "extensions", "spawner_images")
        for p in Path(ROOT / folder).rglob("*")
    ]:
        if (
            path.is_file()
            and path.suffix in {".py", ".sh", ".yaml", ".txt", ""}
            and "node_modules" not in path.parts
        ):
            text = path.read_text(errors="replace")
            assert not [h for h in hosts if h in text], path
