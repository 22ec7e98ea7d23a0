"""A spec in a file: an `ImageSpec` as YAML or JSON whose `files` may name files of this computer.

    name: greenhouse
    base: python
    pip: [numpy==2.1.0]
    files:
      - main.py                        # this file, under the same name
      - lib                            # every file of this folder
      - {path: in.csv, from: may.csv}  # under another name; ../may.csv would be refused

A folder or an archive is a spec as well: its name, its files, and the defaults for everything else; a `cyberlab.yaml`
in the folder is its spec file.

Only what lies in the folder of the spec file may be sent: a spec from a stranger must not fetch your keys.
YAML is read as text throughout (``INTERVAL: 1`` is the text "1", ``on`` is "on"): every value of a spec is text,
and pydantic makes numbers of the ports. Each value's line is kept, so that a problem can point at it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cyberlab.errors import LabError, SpecRefused, field_path, refused
from cyberlab.spec.archives import ArchiveRefused, is_archive, unpack
from cyberlab.spec.files import file_entry
from cyberlab.spec.gathering import is_clutter
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.names import NAME_MAX
from cyberlab.wire import Problem, SpecLimits

_MAX_BYTES = 20_000_000
_MAX_VALUES = 20_000
_MAX_FILES = 2_000
_PIECE = 65_536
_OF_A_FOLDER = "cyberlab.yaml"

Where = tuple[str | int, ...]


class SpecFile:
    """One such file. `load` gives the spec; `where` says in which line a field stands."""

    def __init__(self, path: Path) -> None:
        if path.is_dir() and (path / _OF_A_FOLDER).is_file():
            path /= _OF_A_FOLDER
        self.path = path
        self.lines: dict[str, int] = {}
        """Field path, as in the file -> line number from 1."""
        self._origin: list[int] = []
        """For each file of the spec, which entry of the file's `files` it came from."""
        self._values = 0

    def load(self) -> ImageSpec:
        """
        Raises:
            SpecRefused: it is not a spec, or a file it names cannot be sent; with the problem's field.
            LabError: ``spec-missing``, ``spec-unreadable``.
        """
        if self.path.is_dir():
            return self._plain_spec(self.path.resolve().name, self._files([{"from": ".", "path": "."}]))
        if is_archive(self.path.name):
            return self._plain_spec(self.path.name.partition(".")[0], self._unpacked())
        raw = self._read_values()
        if not isinstance(raw, dict):
            raise LabError("spec-unreadable", f"{self.path} is not a spec: it should begin with name: ...")
        entries = raw.pop("files", None) or []
        if not isinstance(entries, list):
            raise SpecRefused("files-invalid", f"{self.path}: `files` should be a list, one file a line.")
        raw = {name: value for name, value in raw.items() if value != ""}  # `pip:` with nothing behind it
        try:
            return ImageSpec.model_validate({**raw, "files": list(self._files(entries))})
        except ValidationError as error:
            raise refused(error, f"spec {self.path.name}") from error

    def _plain_spec(self, name: str, files: Iterable[dict[str, Any]]) -> ImageSpec:
        """These files, and the defaults for everything else; named like the folder or archive."""
        plain = (
            re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("0123456789-")[:NAME_MAX].rstrip("-")
        )
        return ImageSpec.model_validate({"name": plain or "my-image", "files": list(files)})

    def _unpacked(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                unpacked = unpack(iter(lambda: file.read(_PIECE), b""), without_top=True)
        except OSError as error:
            raise LabError("spec-unreadable", f"{self.path} cannot be read: {error.strerror}.") from error
        except ArchiveRefused as error:
            raise SpecRefused(
                "spec-refused",
                f"{self.path.name} cannot be used.",
                [Problem(path="files", code=error.code, message=error.message)],
            ) from error
        return (entry.model_dump(exclude_none=True) for entry in unpacked.files)

    def where(self, field: str) -> str:
        """``greenhouse.yaml:4``, the line of the field or of what it is part of."""
        field = self._as_written(field)
        while field and field not in self.lines:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        line = self.lines.get(field)
        return f"{self.path}:{line}" if line else str(self.path)

    def _as_written(self, field: str) -> str:
        """``files[7].path`` may have come from the second entry, a folder."""
        if not field.startswith("files["):
            return field
        number, _, rest = field.removeprefix("files[").partition("]")
        if not number.isdecimal() or int(number) >= len(self._origin):
            return field
        return f"files[{self._origin[int(number)]}]{rest}"

    # ------------------------------------------------------------ reading
    def _read_values(self) -> Any:
        try:
            if self.path.stat().st_size > _MAX_BYTES:
                raise LabError("spec-unreadable", f"{self.path} is too large to be a spec.")
            text = self.path.read_text("utf-8")
            if self.path.suffix.lower() != ".json":
                return self._plain(yaml.compose(text, Loader=yaml.SafeLoader), ())
            data = json.loads(text)
        except FileNotFoundError as error:
            raise LabError(
                "spec-missing", f"There is no file {self.path}. Make one with: cyberlab init NAME"
            ) from error
        except OSError as error:
            raise LabError("spec-unreadable", f"{self.path} cannot be read: {error.strerror}.") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise LabError(
                "spec-unreadable", f"{self.path} is not readable as {_kind(self.path)}: {error}"
            ) from error
        self._json_lines(text)
        return data

    def _json_lines(self, text: str) -> None:
        """JSON is nearly YAML; where it is not (tabs), there are just no line numbers."""
        try:
            self._plain(yaml.compose(text, Loader=yaml.SafeLoader), ())
        except (yaml.YAMLError, ValueError, RecursionError):
            self.lines.clear()

    def _plain(self, node: yaml.Node | None, where: Where) -> Any:
        """The node's value with every scalar as text; notes its line.

        Raises:
            ValueError: there are too many values (aliases can multiply them).
        """
        self._values += 1
        if self._values > _MAX_VALUES:
            raise ValueError("there are too many values in it")
        if node is not None and where:
            self.lines.setdefault(field_path(where), node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return {str(key.value): self._plain(value, (*where, str(key.value))) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*where, index)) for index, item in enumerate(node.value)]
        return node.value if isinstance(node, yaml.ScalarNode) else None

    # ------------------------------------------------------------ files of this computer
    def _files(self, entries: list[Any]) -> Iterator[dict[str, Any]]:
        total = 0
        for index, entry in enumerate(entries):
            for file in self._entry(index, entry):
                if len(self._origin) >= _MAX_FILES:
                    raise self._refused(index, "files-too-many", "There are thousands of files. Send fewer.")
                total += len(file.get("text") or file.get("data") or "")
                if total > 2 * SpecLimits().total_bytes:  # base64 counted in; the lab counts exactly
                    raise self._refused(
                        index, "files-too-large", "The files are far too large together. Send less."
                    )
                self._origin.append(index)
                yield file

    def _entry(self, index: int, entry: Any) -> Iterator[dict[str, Any]]:
        if isinstance(entry, str):
            entry = {"path": entry, "from": entry}
        if not isinstance(entry, dict) or "from" not in entry:
            yield entry
            return
        if unknown := set(entry) - {"path", "from"}:
            message = f"An entry with `from` takes only `path` beside it, not {', '.join(sorted(unknown))}."
            raise self._refused(index, "file-entry", message)
        source = self._local(index, str(entry["from"]))
        target = str(entry.get("path") or entry["from"])
        if source.is_dir():
            prefix = "" if target.rstrip("/") in ("", ".") else target.rstrip("/") + "/"
            for file in _walk(source):
                yield self._read(index, prefix + file.relative_to(source).as_posix(), file)
        else:
            yield self._read(index, target, source)

    def _local(self, index: int, name: str) -> Path:
        here = self.path.resolve()
        folder = here if here.is_dir() else here.parent
        source = (folder / name).resolve()
        if not source.is_relative_to(folder):
            message = f"{name} does not lie in the folder of {self.path.name}. Copy it there: only that may be sent."
            raise self._refused(index, "file-outside", message)
        if not source.exists():
            raise self._refused(
                index, "file-missing", f"There is no file or folder {name} beside {self.path.name}."
            )
        return source

    def _read(self, index: int, target: str, source: Path) -> dict[str, Any]:
        try:
            if source.stat().st_size > 2 * SpecLimits().total_bytes:
                raise self._refused(index, "file-too-large", f"{source.name} is far too large to be sent.")
            data = source.read_bytes()
        except OSError as error:
            raise self._refused(
                index, "file-unreadable", f"{source} cannot be read: {error.strerror}."
            ) from error
        return file_entry(target, data).model_dump(exclude_none=True)

    def _refused(self, index: int, code: str, message: str) -> SpecRefused:
        self._origin = list(range(index + 1))  # the entry itself is meant
        problem = Problem(path=f"files[{index}]", code=code, message=message)
        return SpecRefused("spec-refused", f"{self.path.name} cannot be used.", [problem])


def _walk(folder: Path) -> Iterator[Path]:
    """The files below, sorted; neither hidden ones nor links."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not is_clutter(one))
        for name in sorted(files):
            path = Path(parent, name)
            if not is_clutter(name) and path.is_file() and not path.is_symlink():
                yield path


def _kind(path: Path) -> str:
    return "JSON" if path.suffix.lower() == ".json" else "YAML"
