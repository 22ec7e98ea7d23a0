"""Bounded disks: each a sparse file with a file system of its own, so that whoever fills it fills nothing else.

``disks/NAME.img`` in the state folder is mounted at ``disks/NAME``. What a container gets is the folder ``data`` in
there. It exists only while the disk is mounted, so a container can never write to the host's disk by mistake (a bind of
a folder that is missing is refused), and it is complete from the moment it exists: old data are copied beside it.

A disk grows, while nobody uses it, when its setting has grown. It never shrinks. Files are sparse: together the disks
may promise more than the machine has, which `cyberlab-hub status` says.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cyberlab_hub.errors import SetupError

MB = 2**20
OPTIONS = "loop,nosuid,nodev,noatime,discard"
"""`discard`: what is deleted inside is given back to the host."""
HOST_RESERVE_MB = 1024
"""No new disk is made on a machine that has less left."""
HOME = "home-"
BUSY_SECONDS = 10
COMMAND_SECONDS = 120
COPY_SECONDS = 3600
_MAGIC = 0xEF53


@dataclass(frozen=True)
class Disk:
    name: str
    megabytes: int
    setting: str = ""
    """Which setting makes it larger, for messages."""
    owner: int = 0
    """User and group of what is on it. 0: those who run on it decide."""
    mode: int = 0o755


@dataclass(frozen=True)
class Use:
    """How full a disk is, in bytes."""

    used: int
    size: int

    @property
    def nearly_full(self) -> bool:
        return self.used > 0.9 * self.size

    def __str__(self) -> str:
        return f"{self.used // MB} of {self.size // MB} MB"


def home_disk(user: str, megabytes: int = 0, uid: int = 0) -> Disk:
    """A user's home. The name is safe whatever the user is called, and nobody else's."""
    readable = re.sub(r"[^a-z0-9]+", "-", user.lower())[:40].strip("-")
    digest = hashlib.sha256(user.encode()).hexdigest()[:8]
    return Disk(f"{HOME}{readable}-{digest}", megabytes, "CYBERLAB_HOME_MB", uid, 0o700)


class Disks:
    """The bounded disks in one folder. Processes and threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def image(self, name: str) -> Path:
        return self.folder / f"{name}.img"

    def data(self, name: str) -> Path:
        """What a container gets, while the disk is mounted."""
        return self.folder / name / "data"

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.img"))

    def mounted(self, name: str) -> bool:
        return os.path.ismount(self.folder / name)

    def attached(self, name: str) -> bool:
        """Whether a loop device has the file open: the disk is mounted here or in a container."""
        for device in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                if device.read_text().rstrip("\n") == str(self.image(name)):
                    return True
            except OSError:
                continue  # it went away while we looked
        return False

    # ------------------------------------------------------------ there and away
    def ensure(self, disk: Disk, old: Path | None = None) -> Path:
        """Make, grow and mount the disk as far as need be; return the folder for the container.

        Args:
            old: a folder with the data of earlier versions, copied once. It is left as it is.

        Raises:
            SetupError: ``loop-missing``, ``host-disk-full``, ``disk-damaged``, ``disk-too-small``, ``disk-failed``.
        """
        with self._alone():
            if not self.image(disk.name).exists():
                self._make(disk)
            if not self.mounted(disk.name):
                self._repair_and_grow(disk)
                self._mount(disk.name)
            data = self.data(disk.name)
            if not data.exists():
                self._fill(disk, old)
        return data

    def release(self, name: str) -> bool:
        """Unmount the disk; its loop device goes with it. Returns whether it was mounted.

        Raises: SetupError ``disk-busy``.
        """
        with self._alone():
            if not self.mounted(name):
                return False
            deadline = time.monotonic() + BUSY_SECONDS
            # the kernel may hold the files of a container that has just ended for a moment
            while (done := _run(["umount", str(self.folder / name)])).returncode:
                if time.monotonic() > deadline:
                    raise SetupError(
                        "disk-busy",
                        f"the disk {name} cannot be unmounted ({_said(done)}). Something still uses it: a shell "
                        f"in {self.folder / name}, or a container; end it and try again",
                    )
                time.sleep(0.2)
            return True

    def release_all(self) -> int:
        """Unmount every disk; returns how many were mounted."""
        return sum(self.release(name) for name in self.names())

    def remove(self, name: str) -> bool:
        """Unmount and delete the disk with all that is on it. Returns whether there was one."""
        self.release(name)
        there = self.image(name).exists()
        self.image(name).unlink(missing_ok=True)
        if (self.folder / name).is_dir():
            (self.folder / name).rmdir()
        return there

    # ------------------------------------------------------------ how full
    def use(self, name: str) -> Use | None:
        """How full the disk is, mounted or not; None when there is no such disk."""
        if self.mounted(name):
            now = os.statvfs(self.folder / name)
            return Use((now.f_blocks - now.f_bfree) * now.f_frsize, now.f_blocks * now.f_frsize)
        try:
            with self.image(name).open("rb") as file:
                return use_of(file.read(2048))
        except FileNotFoundError:
            return None

    def promised(self) -> int:
        """How many bytes of the host the disks may still take."""
        found = (self.image(name).stat() for name in self.names())
        return sum(max(0, s.st_size - s.st_blocks * 512) for s in found)

    def host_free(self) -> int:
        return shutil.disk_usage(self.folder if self.folder.exists() else self.folder.parent).free

    # ------------------------------------------------------------ steps
    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time on the machine: `up` and the hub both mount, and each start is a thread."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make(self, disk: Disk) -> None:
        free = self.host_free() // MB
        if free < HOST_RESERVE_MB:
            raise SetupError(
                "host-disk-full",
                f"the machine has only {free} MB left where {self.folder} is; free some before new disks are made",
            )
        new = self.image(disk.name).with_suffix(".new")
        with new.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.truncate(disk.megabytes * MB)
        _checked(["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-i", "16384", str(new)], disk.name)
        new.rename(self.image(disk.name))

    def _repair_and_grow(self, disk: Disk) -> None:
        image = self.image(disk.name)
        if self.attached(disk.name):
            return  # a container that outlived its mount on the host still writes to it
        done = _run(["e2fsck", "-p", str(image)])
        if done.returncode >= 4:
            raise SetupError(
                "disk-damaged",
                f"the file system of {image} is damaged: {_said(done)}. Make a copy of the file, "
                f"then let `e2fsck -f {image}` mend it",
            )
        wanted = disk.megabytes * MB
        if image.stat().st_size < wanted:
            os.truncate(image, wanted)
        with image.open("rb") as file:
            grown = use_of(file.read(2048))
        if grown is not None and grown.blocks_bytes < image.stat().st_size:
            _checked(["e2fsck", "-f", "-p", str(image)], disk.name, good=1)
            _checked(["resize2fs", str(image)], disk.name)

    def _mount(self, name: str) -> None:
        place = self.folder / name
        place.mkdir(mode=0o700, exist_ok=True)
        done = _run(["mount", "-t", "ext4", "-o", OPTIONS, "--", str(self.image(name)), str(place)])
        if done.returncode == 0:
            return
        if not Path("/dev/loop-control").exists() or "loop device" in done.stderr:
            raise SetupError(
                "loop-missing",
                f"this machine cannot mount a file as a disk ({_said(done)}). Load the kernel module: "
                "`modprobe loop`. Where that is impossible, CYBERLAB_ENGINE_DISK_GB, CYBERLAB_REGISTRY_DISK_GB, "
                "CYBERLAB_INFLUX_DISK_GB, CYBERLAB_PI_DISK_GB and CYBERLAB_HOME_MB set to 0 do without bounds",
            )
        raise SetupError("disk-failed", f"the disk {name} cannot be mounted: {_said(done)}")

    def _fill(self, disk: Disk, old: Path | None) -> None:
        data = self.data(disk.name)
        partial = data.with_name("data.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        if old is not None and old.is_dir():
            done = _run(["cp", "-a", "--", f"{old}/.", str(partial)], COPY_SECONDS)
            if done.returncode:
                shutil.rmtree(partial, ignore_errors=True)
                code = "disk-too-small" if "No space left" in done.stderr else "disk-failed"
                raise SetupError(
                    code,
                    f"what {old} holds could not be copied to the disk {disk.name} of {disk.megabytes} MB: "
                    f"{_said(done)}. Nothing is lost; set {disk.setting} higher and try again",
                )
            if disk.owner:
                _checked(["chown", "-hR", "--", f"{disk.owner}:{disk.owner}", str(partial)], disk.name)
        os.chown(partial, disk.owner, disk.owner)
        partial.chmod(disk.mode)
        partial.rename(data)


@dataclass(frozen=True)
class _Superblock(Use):
    blocks_bytes: int = 0
    """Size of the file system itself, its own tables included."""


def use_of(start: bytes) -> _Superblock | None:
    """Use of an unmounted ext4 file system, from its first 2,048 bytes; None when it is none."""
    block = start[1024:]
    if len(block) < 1024 or struct.unpack_from("<H", block, 0x38)[0] != _MAGIC:
        return None
    blocks, free = (struct.unpack_from("<I", block, at)[0] for at in (0x4, 0xC))
    # the upper halves count only with the feature "64bit"
    if struct.unpack_from("<I", block, 0x60)[0] & 0x80:
        blocks += struct.unpack_from("<I", block, 0x150)[0] << 32
        free += struct.unpack_from("<I", block, 0x158)[0] << 32
    overhead = struct.unpack_from("<I", block, 0x248)[0]
    size = 1024 << struct.unpack_from("<I", block, 0x18)[0]
    return _Superblock((blocks - overhead - free) * size, (blocks - overhead) * size, blocks * size)


def _run(argv: list[str], seconds: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env=environment)
    except FileNotFoundError as error:
        raise SetupError(
            "disk-failed", f"the command {argv[0]} is missing; install the packages e2fsprogs and mount"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SetupError("disk-failed", f"{argv[0]} did not end within {seconds:.0f} s") from error


def _checked(argv: list[str], name: str, good: int = 0) -> None:
    done = _run(argv)
    if done.returncode > good:
        raise SetupError("disk-failed", f"{argv[0]} for the disk {name}: {_said(done)}")


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr or done.stdout).strip()[-300:]
