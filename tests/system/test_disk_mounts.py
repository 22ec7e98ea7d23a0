"""Bounded disks on this machine's loop devices: filled, grown, taken over, damaged. Needs root, no lab."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cyberlab_hub.disks import MB, Disk, Disks
from cyberlab_hub.errors import SetupError

pytestmark = pytest.mark.engine

SMALL = Disk("d", 32, "CYBERLAB_HOME_MB", owner=1000, mode=0o700)
LARGER = Disk("d", 64, "CYBERLAB_HOME_MB", owner=1000, mode=0o700)


@pytest.fixture
def disks(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disks]:
    if os.geteuid() != 0 and not request.config.getoption("--require-engine"):
        pytest.skip("mounting needs root")
    made = Disks(tmp_path / "disks")
    try:
        yield made
    finally:
        for name in made.names():
            made.remove(name)


def fill(folder: Path) -> int:
    """Bytes written until the disk was full. Stops far beyond, or a missing bound would fill the machine."""
    written = 0
    try:
        with (folder / "fill").open("wb") as file:
            while written < 1024 * MB:
                written += file.write(b"x" * MB)
                file.flush()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    return written


def test_a_disk_is_full_at_its_size_and_usable_again_after(disks: Disks) -> None:
    data = disks.ensure(SMALL)
    assert 20 * MB < fill(data) <= 32 * MB
    assert disks.image("d").stat().st_blocks * 512 <= 33 * MB
    use = disks.use("d")
    assert use is not None
    assert use.nearly_full
    (data / "fill").unlink()
    (data / "kept").write_text("x")


def test_what_is_deleted_inside_is_given_back_to_the_machine(disks: Disks) -> None:
    data = disks.ensure(SMALL)
    before = disks.image("d").stat().st_blocks
    fill(data)
    os.sync()
    (data / "fill").unlink()
    os.sync()
    disks.release("d")
    assert disks.image("d").stat().st_blocks < before + 4 * MB // 512


def test_numbers_of_files_are_bounded_too(disks: Disks) -> None:
    data = disks.ensure(SMALL)
    made = 0
    with suppress(OSError):
        while made < 100_000:
            (data / str(made)).touch()
            made += 1
    assert 1000 < made <= 32 * 64


def test_ensure_again_changes_nothing_and_uses_one_loop_device(disks: Disks) -> None:
    data = disks.ensure(SMALL)
    (data / "kept").write_text("x")
    assert disks.ensure(SMALL) == data
    assert (data / "kept").read_text() == "x"
    assert loops(disks) == 1
    disks.release("d")
    assert loops(disks) == 0
    assert disks.ensure(SMALL) == data
    assert (data / "kept").read_text() == "x"


def loops(disks: Disks) -> int:
    found = [
        p for p in Path("/sys/block").glob("loop*/loop/backing_file") if str(disks.folder) in p.read_text()
    ]
    return len(found)


def test_a_disk_grows_when_it_is_mounted_anew_and_keeps_what_is_on_it(disks: Disks) -> None:
    (disks.ensure(SMALL) / "kept").write_text("x")
    small = disks.use("d")
    disks.ensure(LARGER)
    assert disks.use("d") == small, "a mounted disk cannot grow here, and must not be half grown"
    disks.release("d")
    assert (disks.ensure(LARGER) / "kept").read_text() == "x"
    large = disks.use("d")
    assert small is not None
    assert large is not None
    assert large.size > small.size + 25 * MB


def test_a_growth_that_was_cut_off_is_finished(disks: Disks) -> None:
    disks.ensure(SMALL)
    disks.release("d")
    os.truncate(disks.image("d"), 64 * MB)
    disks.ensure(LARGER)
    use = disks.use("d")
    assert use is not None
    assert use.size > 50 * MB


def test_a_smaller_setting_takes_nothing_away(disks: Disks) -> None:
    (disks.ensure(LARGER) / "kept").write_text("x")
    disks.release("d")
    assert (disks.ensure(SMALL) / "kept").read_text() == "x"
    use = disks.use("d")
    assert use is not None
    assert use.size > 50 * MB


def test_the_container_gets_a_folder_of_its_owner_that_exists_only_while_the_disk_is_mounted(
    disks: Disks,
) -> None:
    data = disks.ensure(SMALL)
    assert (data.stat().st_uid, data.stat().st_gid, data.stat().st_mode & 0o777) == (1000, 1000, 0o700)
    assert list(data.iterdir()) == []
    assert disks.folder.stat().st_mode & 0o777 == 0o700
    disks.release("d")
    assert not data.exists()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A home as it lay in a volume: with a link that leads elsewhere and a file of another owner."""
    folder = tmp_path / "old"
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "notes.txt").write_text("mine")
    (folder / "link").symlink_to("/etc/hostname")
    return folder


def test_the_data_of_an_older_lab_come_along_once(disks: Disks, old: Path) -> None:
    data = disks.ensure(SMALL, old)
    assert (data / "work" / "notes.txt").read_text() == "mine"
    assert (data / "work" / "notes.txt").stat().st_uid == 1000
    assert (data / "link").is_symlink()
    assert Path("/etc/hostname").stat().st_uid == 0, "a link was followed"
    (data / "work" / "notes.txt").write_text("newer")
    disks.release("d")
    assert (disks.ensure(SMALL, old) / "work" / "notes.txt").read_text() == "newer"


def test_data_that_do_not_fit_are_refused_and_left_as_they_were(disks: Disks, old: Path) -> None:
    (old / "big").write_bytes(os.urandom(40 * MB))
    with pytest.raises(SetupError, match="CYBERLAB_HOME_MB higher") as caught:
        disks.ensure(SMALL, old)
    assert caught.value.code == "disk-too-small"
    assert (old / "big").stat().st_size == 40 * MB
    disks.release("d")
    assert (disks.ensure(LARGER, old) / "big").stat().st_size == 40 * MB


def test_a_damaged_disk_is_not_mounted_and_the_file_is_named(disks: Disks) -> None:
    disks.ensure(SMALL)
    disks.release("d")
    with disks.image("d").open("r+b") as file:
        file.write(b"\xff" * 2 * MB)
    with pytest.raises(SetupError, match=r"d\.img is damaged") as caught:
        disks.ensure(SMALL)
    assert caught.value.code == "disk-damaged"
    assert not disks.mounted("d")


def test_a_disk_in_use_is_not_taken_away(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyberlab_hub.disks.BUSY_SECONDS", 0.5)
    data = disks.ensure(SMALL)
    with subprocess.Popen(["sleep", "60"], cwd=data) as user:
        try:
            with pytest.raises(SetupError, match="still uses it") as caught:
                disks.remove("d")
            assert caught.value.code == "disk-busy"
            assert disks.image("d").exists()
            assert data.exists()
        finally:
            user.kill()
    assert disks.remove("d")
    assert list(disks.folder.glob("d*")) == []
