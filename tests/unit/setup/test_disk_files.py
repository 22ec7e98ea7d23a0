"""Bounded disks without root: names, how full an unmounted one is, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cyberlab_hub.disks import MB, Disk, Disks, Use, home_disk, use_of
from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers

NAMES = [
    "anna",
    "has@",
    "user--foo",
    "Анна",
    "a",
    "a" * 64,
    "two\nlines",
    "../../etc/passwd",
    "",
    "engine",
    "-F",
]


def test_a_homes_name_is_safe_whatever_the_user_is_called_and_nobody_elses() -> None:
    found = [home_disk(name).name for name in [*NAMES, "Has@", "user-foo"]]
    assert len(set(found)) == len(found)
    for name in found:
        assert re.fullmatch(r"home-[a-z0-9-]{0,41}[0-9a-f]{8}", name)


def test_the_same_user_has_the_same_home_each_time() -> None:
    assert home_disk("anna", 10, 1000).name == home_disk("anna").name


def made(tmp_path: Path, megabytes: int) -> Disks:
    disks = Disks(tmp_path / "disks")
    disks.folder.mkdir()
    disks._make(Disk("d", megabytes))
    return disks


def test_a_new_disk_takes_little_and_promises_the_rest(tmp_path: Path) -> None:
    disks = made(tmp_path, 512)
    assert disks.image("d").stat().st_blocks * 512 < 40 * MB
    assert 400 * MB < disks.promised() <= 512 * MB
    assert disks.image("d").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in disks.folder.iterdir()] == ["d.img"], "a half-made file was left"


def test_how_full_is_told_of_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    use = made(tmp_path, 512).use("d")
    assert use is not None
    assert 0.85 * 512 * MB < use.size < 512 * MB
    assert use.used < MB
    assert not use.nearly_full


def test_how_full_is_told_of_a_disk_beyond_32_bits_of_blocks() -> None:
    """No such file is made: 16 TiB are more than a file system of a test machine takes."""
    block = bytearray(2048)
    block[1024 + 0x38 : 1024 + 0x3A] = (0xEF53).to_bytes(2, "little")
    block[1024 + 0x18] = 2  # blocks of 4,096 bytes
    block[1024 + 0x60] = 0x80  # 64bit
    block[1024 + 0x150] = 1  # 2^32 blocks and none below
    found = use_of(bytes(block))
    assert found is not None
    assert found.size == found.used == 2**32 * 4096


@pytest.mark.parametrize("start", [b"", b"x" * 1000, b"\0" * 4096], ids=["empty", "short", "zeroes"])
def test_what_is_no_file_system_has_no_use(start: bytes) -> None:
    assert use_of(start) is None


def test_a_disk_that_is_not_there_has_no_use(tmp_path: Path) -> None:
    assert Disks(tmp_path / "none").use("d") is None
    assert Disks(tmp_path / "none").names() == []


def test_no_new_disk_on_a_full_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disks, "host_free", lambda _: 900 * MB)
    with pytest.raises(SetupError, match="only 900 MB left") as caught:
        made(tmp_path, 64)
    assert caught.value.code == "host-disk-full"
    assert list((tmp_path / "disks").iterdir()) == []


def test_nearly_full_begins_at_nine_tenths() -> None:
    assert not Use(90, 100).nearly_full
    assert Use(91, 100).nearly_full


def parts(settings: Settings) -> list[containers.Part]:
    made = [containers.registry, containers.influxdb, containers.mqtt, containers.workshop]
    return [make(settings) for make in made] + [containers.pi(settings, 1)]


def test_every_part_that_keeps_users_work_keeps_it_on_a_disk_of_its_own(tmp_path: Path) -> None:
    found = [disk.name for part in parts(Settings(state=tmp_path)) for _, disk in part.disks]
    assert sorted(found) == ["engine", "influxdb", "mqtt", "pi01", "pi01-spool", "registry", "swarm"]
    for part in parts(Settings(state=tmp_path)):
        assert part.volume in dict(part.disks), part.name


def test_a_size_of_nothing_means_a_volume_without_a_bound(tmp_path: Path) -> None:
    settings = Settings(
        state=tmp_path, engine_disk_gb=0, registry_disk_gb=0, influx_disk_gb=0, pi_disk_gb=0, home_mb=0
    )
    assert [part.disks for part in parts(settings)] == [(), (), (), (), ()]
