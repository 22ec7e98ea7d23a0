"""Archives that somebody made to do harm, each with what must be said about it. Used by unit and hostile tests."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MB = 1_000_000


@dataclass(frozen=True)
class Bad:
    """What it tries, the bytes, and the code of the refusal."""

    tries: str
    code: str
    make: Callable[[], bytes] = field(repr=False)


# ---------------------------------------------------------------- tar
def member(name: str, content: bytes = b"", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for info, content in members:
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def block(name: bytes, size: int = 0, kind: bytes = b"0", content: bytes = b"", number: bytes = b"") -> bytes:
    """One entry written by hand; the size may be a lie."""
    head = bytearray(512)
    head[: len(name)] = name
    head[100:108] = b"0000644\0"
    head[124:136] = number or b"%011o\0" % size
    head[156:157] = kind
    head[257:265] = b"ustar\x0000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + content + bytes(-len(content) % 512)


END = bytes(1024)


def pax(**records: str) -> bytes:
    lines = b""
    for key, value in records.items():
        body = f" {key}={value}\n".encode()
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        lines += str(length).encode() + body
    return block(b"pax", len(lines), b"x", lines)


def small_tar() -> bytes:
    return tar(member("main.py", b"print('hello')\n"))


# ---------------------------------------------------------------- zip
def zipped(*entries: tuple[str, bytes], mode: int = 0o100644, level: int = 9) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as made:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, content)
    return out.getvalue()


def raw_name(name: bytes, flags: int = 0) -> bytes:
    """A zip whose one file has exactly these bytes as its name."""
    made = zipped(("N" * len(name), b"x")).replace(b"N" * len(name), name)
    at = made.index(b"PK\x01\x02")
    return made[:6] + struct.pack("<H", flags) + made[8 : at + 8] + struct.pack("<H", flags) + made[at + 10 :]


def patched(made: bytes, sign: bytes, offset: int, value: bytes) -> bytes:
    at = made.index(sign) + offset
    return made[:at] + value + made[at + len(value) :]


def listed_often(times: int) -> bytes:
    """The directory lists one packed part again and again."""
    made = zipped(("a.bin", bytes(900_000)))
    at = made.index(b"PK\x01\x02")
    end = made.index(b"PK\x05\x06")
    row = made[at:end]
    rows = b"".join(row.replace(b"a.bin", b"%05d" % number) for number in range(times))
    return made[:at] + rows + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, times, times, len(rows), at, 0)


def overlapping(count: int) -> bytes:
    """Each file's packed part quotes the next file's header and then shares its content (D. Fifield, 2019)."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = kernel.compress(bytes(500_000)) + kernel.flush()
    content, rows = bytes(500_000), []
    body = struct.pack(
        "<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, zlib.crc32(content), len(packed), 500_000, 5, 0
    )
    body += b"%05d" % 0 + packed
    rows.append((0, zlib.crc32(content), len(packed), 500_000))
    size = len(packed)
    for number in range(1, count):
        header = body[:35]
        content = header + content
        body = b"\x00" + struct.pack("<HH", len(header), 0xFFFF ^ len(header)) + body
        size += 40
        head = struct.pack(
            "<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, zlib.crc32(content), size, len(content), 5, 0
        )
        body = head + b"%05d" % number + body
        rows = [(number, zlib.crc32(content), size, len(content)), *rows]
    directory, at = b"", 0
    for number, checksum, packed_size, length in rows:
        directory += struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            20,
            20,
            0,
            8,
            0,
            33,
            checksum,
            packed_size,
            length,
            5,
            0,
            0,
            0,
            0,
            0,
            at,
        )
        directory += b"%05d" % number
        at += 40
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


def nested(depth: int) -> bytes:
    inner = bytes(500_000)
    for number in range(depth):
        inner = zipped(*((f"{number}-{copy}.zip", inner) for copy in range(4)))
    return inner


def many_zip(count: int) -> bytes:
    return zipped(*((f"f{number}", b"") for number in range(count)))


def big(packer: Callable[[bytes], bytes], mega: int) -> bytes:
    """A file of so many MB of zeros in a packed tar."""
    return packer(block(b"a.bin", mega * MB, content=bytes(mega * MB)) + END)


def endless_zeros() -> bytes:
    return gzip.compress(small_tar() + bytes(60 * MB))


def unix(kind: int) -> bytes:
    return zipped(("x", b"/etc/passwd"), mode=kind | 0o777)


def cases() -> Iterator[Bad]:
    yield from _places()
    yield from _kinds()
    yield from _names()
    yield from _bombs()
    yield from _lies()


def _places() -> Iterator[Bad]:
    for what, name in {
        "an absolute path": "/etc/cron.d/evil",
        "a climbing path": "../../../etc/passwd",
        "a path that climbs in its middle": "data/../../../x",
        "a drive letter": "C:/Windows/x",
        "a drive letter without a slash": "C:x",
        "a network share": "//server/share/x",
        "a backslash path": "..\\..\\x",
        "a network share of Windows": "\\\\server\\share",
    }.items():
        code = "file-path"
        yield Bad(f"tar: {what}", code, lambda name=name: tar(member(name, b"x")))
        yield Bad(f"zip: {what}", code, lambda name=name: zipped((name, b"x")))
    yield Bad("a climbing folder", "file-path", lambda: tar(member("../up", type=tarfile.DIRTYPE)))
    yield Bad(
        "an absolute name in a pax header",
        "file-path",
        lambda: pax(path="/etc/passwd") + block(b"innocent", 1, content=b"x") + END,
    )
    yield Bad(
        "a climbing name in a GNU long name",
        "file-path",
        lambda: block(b"././@LongLink", 8, b"L", b"../../x\0") + block(b"innocent", 1, content=b"x") + END,
    )


def _kinds() -> Iterator[Bad]:
    link, special = "archive-link", "archive-special"
    yield Bad(
        "tar: a symbolic link out",
        link,
        lambda: tar(member("x", type=tarfile.SYMTYPE, linkname="/etc"), member("x/passwd", b"x")),
    )
    yield Bad(
        "tar: a hard link", link, lambda: tar(member("x", type=tarfile.LNKTYPE, linkname="/etc/shadow"))
    )
    yield Bad("tar: a character device", special, lambda: tar(member("x", type=tarfile.CHRTYPE, devmajor=1)))
    yield Bad("tar: a block device", special, lambda: tar(member("x", type=tarfile.BLKTYPE, devmajor=8)))
    yield Bad("tar: a pipe", special, lambda: tar(member("x", type=tarfile.FIFOTYPE)))
    yield Bad("tar: a kind nobody knows", special, lambda: block(b"x", 0, b"Z") + END)
    yield Bad("tar: a sparse file of GNU", "archive-sparse", lambda: block(b"x", 1, b"S", b"x") + END)
    yield Bad(
        "tar: a sparse file in a pax header",
        "archive-sparse",
        lambda: (
            pax(**{"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"})
            + block(b"x", 1, content=b"x")
            + END
        ),
    )
    yield Bad("zip: a symbolic link", link, lambda: unix(0o120000))
    yield Bad("zip: a device", special, lambda: unix(0o060000))
    yield Bad("zip: a pipe", special, lambda: unix(0o010000))
    yield Bad("zip: a socket", special, lambda: unix(0o140000))


def _names() -> Iterator[Bad]:
    yield Bad("a line end in a name", "file-path", lambda: tar(member("a\nb", b"x")))
    yield Bad("a NUL in a name", "file-path", lambda: raw_name(b"a\0b"))
    yield Bad("a bell in a name", "file-path", lambda: raw_name(b"a\x07b"))
    yield Bad("a reversed name", "file-path", lambda: zipped(("a\u202etxt.py", b"x")))
    yield Bad("zip: a name that is not UTF-8", "file-name-encoding", lambda: raw_name(b"gr\xfc\xdfe"))
    yield Bad("tar: a name that is not UTF-8", "file-name-encoding", lambda: block(b"gr\xfc", 0) + END)
    yield Bad("a name of 10,000 letters", "file-path", lambda: tar(member("x" * 10_000, b"x")))
    yield Bad(
        "a name of a megabyte",
        "archive-ambiguous",
        lambda: tar(member("x" * MB, b"x"), form=tarfile.GNU_FORMAT),
    )
    yield Bad("1,000 folders in one another", "file-path", lambda: tar(member("a/" * 1000 + "x", b"x")))
    yield Bad("an empty name", "file-path", lambda: block(b"", 1, content=b"x") + END)
    yield Bad(
        "two names that differ in case", "file-case", lambda: zipped(("Main.py", b"a"), ("main.py", b"b"))
    )
    yield Bad(
        "two folders that differ in case", "file-case", lambda: zipped(("Lib/a", b"a"), ("lib/b", b"b"))
    )
    yield Bad(
        "two names that differ in Unicode's form",
        "file-case",
        lambda: tar(member("caf\u00e9", b"a"), member("cafe\u0301", b"b")),
    )
    yield Bad("one name twice", "file-duplicate", lambda: tar(member("a", b"1"), member("a", b"2")))
    yield Bad(
        "a file that is a folder", "file-is-folder", lambda: tar(member("a", b"1"), member("a/b", b"2"))
    )
    yield Bad("a folder that is a file", "file-is-folder", lambda: zipped(("a/b", b"1"), ("a", b"2")))


def _bombs() -> Iterator[Bad]:
    large, all_large = "file-too-large", "files-too-large"
    yield Bad("zip: one file of 200 MB", large, lambda: zipped(("a.bin", bytes(200 * MB))))
    yield Bad(
        "zip: 60 files of 900 kB", all_large, lambda: zipped(*((f"{n}", bytes(900_000)) for n in range(60)))
    )
    yield Bad("gzip: 200 MB of zeros", large, lambda: big(lambda data: gzip.compress(data, 9), 200))
    yield Bad("xz: 200 MB of zeros", large, lambda: big(lambda data: lzma.compress(data, preset=0), 200))
    yield Bad("bzip2: 100 MB of zeros", large, lambda: big(bz2.compress, 100))
    yield Bad("gzip: the zeros come after the end", "archive-trailing", endless_zeros)
    yield Bad(
        "the zeros are in a file that would be skipped",
        all_large,
        lambda: gzip.compress(block(b".git/pack", 60 * MB, content=bytes(60 * MB)) + END),
    )
    yield Bad("one packed part listed 150 times", "archive-ambiguous", lambda: listed_often(150))
    yield Bad("overlapping entries that quote each other", "archive-ambiguous", lambda: overlapping(180))
    yield Bad("201 files", "files-too-many", lambda: many_zip(201))
    yield Bad("30,000 files", "archive-too-many", lambda: many_zip(30_000))
    yield Bad(
        "30,000 folders",
        "archive-too-many",
        lambda: gzip.compress(b"".join(block(b"%d/" % n, 0, b"5") for n in range(30_000)) + END),
    )
    yield Bad(
        "an archive of 9 MB",
        "archive-too-large",
        lambda: block(b".git/pack", 9 * MB, content=bytes(9 * MB)) + END,
    )
    yield Bad(
        "a pax header of 50 MB",
        "archive-ambiguous",
        lambda: gzip.compress(block(b"pax", 50 * MB, b"x", bytes(50 * MB)) + END),
    )
    yield Bad(
        "30,000 pax headers for all",
        "archive-too-many",
        lambda: gzip.compress(block(b"g", 0, b"g") * 30_000 + END),
    )
    yield Bad("xz that wants 1.5 GB of memory", "archive-damaged", _greedy_xz)


def _greedy_xz() -> bytes:
    """The dictionary's size is one byte of the block's header; the checksum after it is made to fit."""
    made = bytearray(lzma.compress(small_tar(), preset=0))
    length = (made[12] + 1) * 4
    at = made.index(b"\x21\x01", 12) + 2
    made[at] = 40  # 4 GB less one byte
    made[12 + length - 4 : 12 + length] = struct.pack("<L", zlib.crc32(bytes(made[12 : 12 + length - 4])))
    return bytes(made)


def _lies() -> Iterator[Bad]:
    odd, broken = "archive-ambiguous", "archive-damaged"
    yield Bad(
        "zip: larger than it says",
        odd,
        lambda: patched(
            patched(zipped(("a", bytes(5000))), b"PK\x01\x02", 24, struct.pack("<L", 10)),
            b"PK\x03\x04",
            22,
            struct.pack("<L", 10),
        ),
    )
    yield Bad(
        "zip: smaller than it says",
        odd,
        lambda: patched(
            patched(zipped(("a", b"x" * 500)), b"PK\x01\x02", 24, struct.pack("<L", 501)),
            b"PK\x03\x04",
            22,
            struct.pack("<L", 501),
        ),
    )
    yield Bad(
        "zip: says that it has 4 GB",
        odd,
        lambda: patched(zipped(("a", b"x")), b"PK\x01\x02", 24, struct.pack("<L", 0xFFFFFFFF)),
    )
    yield Bad(
        "zip: the local header names another file",
        odd,
        lambda: zipped(("innocent", b"x")).replace(b"innocent", b"passwd..", 1),
    )
    yield Bad(
        "zip: the local header says another size",
        odd,
        lambda: patched(zipped(("a", b"x" * 100)), b"PK\x03\x04", 22, struct.pack("<L", 7)),
    )
    yield Bad(
        "zip: content that is not what its checksum says",
        broken,
        lambda: patched(patched(zipped(("a", b"x")), b"PK\x01\x02", 16, b"1234"), b"PK\x03\x04", 14, b"1234"),
    )
    yield Bad("zip: locked", "archive-encrypted", lambda: raw_name(b"a", flags=1))
    yield Bad("zip: locked in the strong way", "archive-encrypted", lambda: raw_name(b"a", flags=0x41))
    yield Bad(
        "zip: packed by a method nobody has",
        "archive-method",
        lambda: patched(
            patched(zipped(("a", b"x")), b"PK\x01\x02", 10, b"\x63\0"), b"PK\x03\x04", 8, b"\x63\0"
        ),
    )
    yield Bad(
        "zip: the form for archives over 4 GB",
        odd,
        lambda: (
            (made := zipped(("a", b"x")))[:-22] + struct.pack("<4sLQL", b"PK\x06\x07", 0, 5, 1) + made[-22:]
        ),
    )
    yield Bad(
        "zip: 65,535 entries that are not there",
        odd,
        lambda: zipped(("a", b"x"))[:-14] + b"\xff\xff\xff\xff" + zipped(("a", b"x"))[-10:],
    )
    yield Bad(
        "zip: one part of several",
        "archive-parts",
        lambda: patched(zipped(("a", b"x")), b"PK\x05\x06", 4, b"\1\0"),
    )
    yield Bad(
        "zip: two ends",
        odd,
        lambda: zipped(("a", b"x"))[:-2] + struct.pack("<H", 22) + b"PK\x05\x06" + bytes(18),
    )
    yield Bad(
        "zip: hidden bytes before the directory",
        odd,
        lambda: (
            (m := zipped(("a", b"x")))[: (at := m.index(b"PK\x01\x02"))]
            + b"hidden"
            + m[at:-6]
            + struct.pack("<L", at + 6)
            + m[-2:]
        ),
    )
    yield Bad("zip: something follows", broken, lambda: zipped(("a", b"x")) + b"more")
    yield Bad(
        "zip: cut in half", broken, lambda: (made := zipped(("a", bytes(range(256)))))[: len(made) // 2]
    )
    yield Bad(
        "tar: an entry that says it has 8 GB",
        "file-too-large",
        lambda: block(b"a", 0, number=b"77777777777\0") + END,
    )
    yield Bad(
        "tar: a size in the form for more than 8 GB",
        "file-too-large",
        lambda: block(b"a", 0, number=b"\x80" + b"\xff" * 11) + END,
    )
    yield Bad("tar: a negative size", "file-too-large", lambda: block(b"a", 0, number=b"-0000000001\0") + END)
    yield Bad(
        "tar: a second size in a pax header",
        odd,
        lambda: pax(size="99999999") + block(b"a", 1, content=b"x") + END,
    )
    yield Bad(
        "tar: two names in one pax header",
        odd,
        lambda: block(b"pax", 24, b"x", b"12 path=aaa\n12 path=bbb\n") + block(b"a", 0) + END,
    )
    yield Bad(
        "tar: a pax name and a GNU name",
        odd,
        lambda: pax(path="a") + block(b"@", 2, b"L", b"b\0") + block(b"c", 0) + END,
    )
    yield Bad(
        "tar: a name for all entries",
        odd,
        lambda: block(b"g", 10, b"g", b"10 path=a\n") + block(b"c", 0) + END,
    )
    yield Bad(
        "tar: a pax header that counts wrong",
        broken,
        lambda: block(b"pax", 11, b"x", b"99 path=aa\n") + block(b"a", 0) + END,
    )
    yield Bad("tar: a folder with content", odd, lambda: block(b"a/", 3, b"5", b"abc") + END)
    yield Bad("tar: a header that does not add up", broken, _second_header_spoilt)
    yield Bad("tar: cut in half", broken, lambda: tar(member("a", bytes(5000)))[:3000])
    yield Bad("tar: no end", broken, lambda: block(b"a", 1, content=b"x"))
    yield Bad("tar: a second archive after the first", "archive-trailing", lambda: small_tar() + small_tar())
    yield Bad(
        "gzip: a second archive after the first",
        "archive-trailing",
        lambda: gzip.compress(small_tar()) + gzip.compress(small_tar()),
    )
    yield Bad(
        "gzip: cut in half", broken, lambda: gzip.compress(tar(member("a", bytes(range(256)) * 50)))[:150]
    )
    yield Bad("gzip: its checksum is wrong", broken, lambda: gzip.compress(small_tar())[:-8] + bytes(8))
    yield Bad("a packed file that is no archive", "archive-unknown", lambda: gzip.compress(b"hello" * 500))
    yield Bad("no archive at all", "archive-unknown", lambda: b"MZ\x90\0" + bytes(5000))
    yield Bad("nothing", "archive-unknown", lambda: b"")
    yield Bad("an archive without a file", "archive-empty", lambda: tar(member("a", type=tarfile.DIRTYPE)))
    yield Bad("a zip without a file", "archive-empty", lambda: zipped())


def _second_header_spoilt() -> bytes:
    made = bytearray(block(b"a", 0) + block(b"b", 0) + END)
    made[512 + 10] ^= 1
    return bytes(made)
