"""The files of a spec: where each goes, what is in it, and what may be wrong with it.

Every file lies inside the workdir, so one ``COPY files/ ./`` brings them all and no file name ever becomes
part of the Dockerfile's text. In the build context they stand below ``files/``: a user's file called
``Dockerfile`` or ``.dockerignore`` means nothing there.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Iterator, Sequence

from cyberlab.spec.image import FileEntry, ImageSpec
from cyberlab.spec.names import has_invisible, shown
from cyberlab.wire import Problem, SpecLimits

CONTEXT = "files"
"""The folder of the build context that holds the user's files."""

PATH_BYTES = 400
PART_BYTES = 255


def context_files(spec: ImageSpec) -> tuple[tuple[str, bytes], ...]:
    """What COPY refers to: path inside the build context and content, sorted by path.

    Raises:
        ValueError: a file has a problem; call `cyberlab.spec.problems.find_problems` first.
    """
    return tuple(
        sorted((f"{CONTEXT}/{relative(entry.path, spec.workdir)}", content(entry)) for entry in spec.files)
    )


def relative(path: str, workdir: str) -> str:
    """`path` as seen from the workdir, without ``./``.

    Raises:
        ValueError: it is not the path of a file inside the workdir; the text says why, for a student.
    """
    if len(path) > PATH_BYTES + len(workdir) + 2:  # before everything else: it may have megabytes
        raise ValueError(
            f"The file name {shown(path)} is too long. Shorten it to at most {PART_BYTES} characters."
        )
    if has_invisible(path):
        raise ValueError(f"The file name {shown(path)} holds an invisible character. Rename the file.")
    if "\\" in path:
        raise ValueError(f"Write {shown(path)} with / between the folders, not with \\.")
    inside = path.removeprefix("./")
    if path.startswith("/"):
        if not path.startswith(f"{workdir}/"):
            raise ValueError(
                f"{shown(path)} lies outside the program's folder. "
                f"Write a path inside {shown(workdir)}, such as main.py."
            )
        inside = path.removeprefix(f"{workdir}/")
    parts = inside.split("/")
    if ".." in parts:
        raise ValueError(
            f"{shown(path)} climbs out of the program's folder with '..'. "
            "Write a path such as data/input.csv."
        )
    if any(part in ("", ".") or part != part.strip() for part in parts):
        raise ValueError(
            f"{shown(path)} is not the path of a file. Write one such as main.py or data/input.csv."
        )
    if len(inside.encode()) > PATH_BYTES or any(len(part.encode()) > PART_BYTES for part in parts):
        raise ValueError(
            f"The file name {shown(path)} is too long. Shorten it to at most {PART_BYTES} characters."
        )
    return inside


def content(entry: FileEntry) -> bytes:
    """The bytes of the file.

    Raises:
        ValueError: the text says why, for a student.
    """
    if entry.text is not None and entry.data is None:
        try:
            return entry.text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"The text of {shown(entry.path)} holds a broken character. Save the file as UTF-8."
            ) from error
    if entry.data is not None and entry.text is None:
        try:
            return base64.b64decode(entry.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(
                f"The content of {shown(entry.path)} arrived damaged. Add the file again."
            ) from error
    raise ValueError(f"{shown(entry.path)} must have either 'text' or 'data' (base64), exactly one of them.")


def file_entry(path: str, data: bytes) -> FileEntry:
    """A file of these bytes: as text when it is one, else as base64."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return FileEntry(path=path, data=base64.b64encode(data).decode("ascii"))
    return FileEntry(path=path, text=text)


# ---------------------------------------------------------------- problems
def file_problems(files: Sequence[FileEntry], workdir: str, limits: SpecLimits) -> Iterator[Problem]:
    """Everything wrong with the files, one file at a time, then all together."""
    if len(files) > limits.files:
        yield Problem(
            path="files",
            code="files-too-many",
            message=f"{len(files)} files are more than the {limits.files} an image may have. "
            "Remove some, or pack them into one archive.",
        )
        return
    yield from _path_problems(files, workdir)
    yield from _content_problems(files, limits)


def _path_problems(files: Sequence[FileEntry], workdir: str) -> Iterator[Problem]:
    placed: dict[str, str] = {}
    """How the path looks to a computer that ignores case -> the path."""
    where: list[tuple[int, str, str]] = []
    for index, entry in enumerate(files):
        path = f"files[{index}].path"
        try:
            inside = relative(entry.path, workdir)
        except ValueError as error:
            yield Problem(path=path, code="file-path", message=str(error))
            continue
        key = unicodedata.normalize("NFC", inside).casefold()
        other = placed.setdefault(key, inside)
        if len(where) == len(placed):
            yield _same_name(path, inside, other)
        else:
            where.append((index, inside, key))
    folders = {key[:at]: inside for _, inside, key in where for at, char in enumerate(key) if char == "/"}
    for index, inside, key in where:
        if key in folders:
            yield Problem(
                path=f"files[{index}].path",
                code="file-is-folder",
                message=f"{shown(inside)} is a file, but {shown(folders[key])} needs a folder of that "
                "name. Rename one of them.",
            )


def _same_name(path: str, inside: str, other: str) -> Problem:
    if inside == other:
        return Problem(
            path=path,
            code="file-duplicate",
            message=f"There are two files called {shown(inside)}. Remove or rename one.",
        )
    return Problem(
        path=path,
        code="file-case",
        message=f"{shown(inside)} and {shown(other)} look the same to many computers. Rename one of them.",
    )


def _content_problems(files: Sequence[FileEntry], limits: SpecLimits) -> Iterator[Problem]:
    total = 0
    for index, entry in enumerate(files):
        try:
            size = len(content(entry))
        except ValueError as error:
            yield Problem(path=f"files[{index}]", code="file-content", message=str(error))
            continue
        total += size
        if size > limits.file_bytes:
            yield Problem(
                path=f"files[{index}]",
                code="file-too-large",
                message=f"{shown(entry.path)} has {_mb(size)}; a file may have {_mb(limits.file_bytes)}. "
                "Make it smaller, or let the program download it when it starts.",
            )
    if total > limits.total_bytes:
        yield Problem(
            path="files",
            code="files-too-large",
            message=f"The files have {_mb(total)} together; an image may have {_mb(limits.total_bytes)}. "
            "Remove the largest.",
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
