"""Archives become files of a spec; what has two meanings, leaves its place or grows too large is refused."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_archives import END, Bad, block, cases, member, nested, pax, small_tar, tar, zipped
from cyberlab.spec.archives import PACKED_BYTES, ArchiveRefused, is_archive, unpack
from cyberlab.spec.files import content, file_problems
from cyberlab.wire import SpecLimits
from hypothesis import given, settings
from hypothesis import strategies as st

BAD = tuple(cases())
BINARY = bytes(range(256)) * 700
LONG = f"{'d' * 80}/{'e' * 90}/{'x' * 99}.txt"


def pieces(packed: bytes, size: int = 999) -> Iterator[bytes]:
    return (packed[at : at + size] for at in range(0, len(packed), size))


def contents(packed: bytes, **how: bool) -> dict[str, bytes]:
    return {file.path: content(file) for file in unpack(pieces(packed), **how).files}


# ---------------------------------------------------------------- ordinary archives
@pytest.mark.parametrize("packer", ["", "gz", "xz", "bz2"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tars_of_python(packer: str, form: int) -> None:
    wanted = {"main.py": b"print(1)\n", "data/raw.bin": BINARY, "empty": b"", "grüße.txt": "ß".encode()}
    if form != tarfile.USTAR_FORMAT:
        wanted[LONG] = b"deep"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packer}", format=form) as made:  # type: ignore[call-overload]
        made.addfile(member("data", type=tarfile.DIRTYPE)[0])
        for name, data in wanted.items():
            made.addfile(member(name, data, mode=0o6755, uid=0)[0], io.BytesIO(data))
    assert contents(out.getvalue()) == wanted


@pytest.mark.parametrize("streamed", [False, True])
def test_zips_of_python(streamed: bool) -> None:
    class Pipe(io.RawIOBase):
        """Cannot go back, so the sizes follow the content."""

        def __init__(self) -> None:
            self.got = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.got += bytes(data)
            return len(data)

    out = Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:  # type: ignore[arg-type]
        made.comment = b"a commit's id stands here in git's zips"
        made.writestr("main.py", "print(1)\n" * 5000)
        made.writestr("raw.bin", BINARY, zipfile.ZIP_STORED)
        made.writestr("data/", "")
        with made.open("größe.txt", "w", force_zip64=True) as file:
            file.write(b"hello")
    packed = out.got if isinstance(out, Pipe) else out.getvalue()
    assert contents(packed) == {"main.py": b"print(1)\n" * 5000, "raw.bin": BINARY, "größe.txt": b"hello"}


@pytest.mark.parametrize(
    "command",
    [
        ["tar", "-cf", "-", "."],
        ["tar", "-czf", "-", "project"],
        ["tar", "-cJf", "-", "project"],
        ["tar", "-cjf", "-", "project"],
        ["tar", "--format=posix", "-cf", "-", "project"],
        ["zip", "-q", "-r", "-", "project"],
        ["git", "archive", "--format=zip", "--prefix=project/", "HEAD"],
        ["git", "archive", "--format=tar.gz", "--prefix=project/", "HEAD"],
    ],
    ids=" ".join,
)
def test_archives_of_the_tools_that_students_use(tmp_path: Path, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (project / "main.py").write_text("print('grüß')\n")
    (project / "data" / "größe.bin").write_bytes(BINARY)
    where = tmp_path
    if command[0] == "git":
        where = project
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        for step in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
            subprocess.run(["git", *step], cwd=project, check=True)
    packed = subprocess.run(command, cwd=where, check=True, capture_output=True).stdout
    assert contents(packed, without_top=True) == {
        "main.py": "print('grüß')\n".encode(),
        "data/größe.bin": BINARY,
    }


def test_clutter_is_left_out_and_counted() -> None:
    packed = zipped(
        ("p/main.py", b"1"),
        ("p/.git/config", b"2"),
        ("p/__pycache__/main.pyc", b"3"),
        ("__MACOSX/p/._main.py", b"4"),
    )
    unpacked = unpack([packed], without_top=True)
    assert [file.path for file in unpacked.files] == ["main.py"]
    assert unpacked.skipped == 3


def test_the_one_folder_around_everything_is_kept_unless_asked() -> None:
    packed = zipped(("p/main.py", b"1"), ("p/lib/a.py", b"2"))
    assert list(contents(packed)) == ["p/lib/a.py", "p/main.py"]
    assert list(contents(packed, without_top=True)) == ["lib/a.py", "main.py"]
    assert list(contents(zipped(("p/a", b""), ("b", b"")), without_top=True)) == ["b", "p/a"]


def test_modes_and_owners_are_dropped() -> None:
    (file,) = unpack([tar(member("run.sh", b"#!/bin/sh\n", mode=0o6777, uid=0, uname="root"))]).files
    assert file.model_dump(exclude_none=True) == {"path": "run.sh", "text": "#!/bin/sh\n"}


def test_an_archive_inside_stays_a_file() -> None:
    (file, *_) = unpack([nested(2)]).files
    assert file.path == "1-0.zip"
    assert content(file).startswith(b"PK")


def test_names_of_endings() -> None:
    assert all(map(is_archive, ["a.zip", "A.ZIP", "a.b.tar.gz", "x.tgz", "x.tar.xz", "x.tar.bz2", "x.tar"]))
    assert not any(map(is_archive, ["a.py", "zip", "a.gz", "data.csv.gz", "a.7z"]))


# ---------------------------------------------------------------- hostile ones
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.tries)
@pytest.mark.parametrize("size", [70_001, 10**9], ids=["in pieces", "whole"])
def test_is_refused(bad: Bad, size: int) -> None:
    with pytest.raises(ArchiveRefused) as refused:
        unpack(pieces(bad.make(), size))
    assert refused.value.code == bad.code, refused.value.message
    assert refused.value.message.isprintable()
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize(
    "bad", [bad for bad in BAD if "zeros" in bad.tries or "200 MB" in bad.tries], ids=lambda bad: bad.tries
)
def test_a_bomb_takes_no_more_memory_than_a_spec_may_have(bad: Bad) -> None:
    packed = bad.make()
    tracemalloc.start()
    with pytest.raises(ArchiveRefused):
        unpack(pieces(packed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(packed) * 2 + 2 * SpecLimits().total_bytes


def test_reading_stops_at_the_limit() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 100_000
            yield bytes(100_000)

    with pytest.raises(ArchiveRefused):
        unpack(endless())
    assert taken <= PACKED_BYTES + 100_000

    def endless_zip() -> Iterator[bytes]:
        yield b"PK\x03\x04"
        yield from endless()

    taken = 0
    with pytest.raises(ArchiveRefused, match="MB"):
        unpack(endless_zip())
    assert taken <= PACKED_BYTES + 100_000


def test_time_is_bounded_too() -> None:
    now = [0.0]

    def slow() -> Iterator[bytes]:
        for piece in pieces(small_tar(), 100):
            now[0] += 1
            yield piece

    with pytest.raises(ArchiveRefused) as refused:
        unpack(slow(), clock=lambda: now[0])
    assert refused.value.code == "archive-slow"


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 5000), change=st.binary(min_size=1, max_size=40), which=st.integers(0, 3))
def test_damage_is_refused_or_harmless(at: int, change: bytes, which: int) -> None:
    """Whatever bytes are changed: a refusal in our words, or files that a spec could have."""
    whole = (
        zipped(("p/main.py", b"print(1)\n" * 100), ("p/b.bin", BINARY[:500])),
        tar(member("p/main.py", b"print(1)\n" * 100), member(LONG, b"x")),
        gzip.compress(tar(member("p/main.py", BINARY[:600]))),
        pax(path="a/b") + block(b"c", 3, content=b"abc") + block(b"d/", 0, b"5") + END,
    )[which]
    packed = whole[: at % len(whole)] + change + whole[at % len(whole) + len(change) :]
    try:
        files = unpack(pieces(packed)).files
    except ArchiveRefused:
        return
    assert not list(file_problems(files, "/usr/src/app", SpecLimits()))


@settings(max_examples=200, deadline=None)
@given(
    data=st.binary(max_size=2000),
    head=st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0"]),
)
def test_noise_is_refused(data: bytes, head: bytes) -> None:
    with pytest.raises(ArchiveRefused):
        unpack([head + data])
