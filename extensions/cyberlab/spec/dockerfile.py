"""From a spec to the text of its Dockerfile: pure, and the same spec always gives the same bytes.

The order of the blocks is the order of sharing: thirty students who choose the same base and libraries have
every layer in common but their own code, which therefore comes late. Only what has no problem is written, so
the preview works while a form is half filled and no value, allowed or not, can leave its place in the text:

    libraries     have a form of their own, written again from their parts and quoted for the shell
    files         are never named: one COPY brings the folder that holds them
    environment   double-quoted, with the three characters escaped that mean something there
    command       a JSON array
    custom        lines that passed the allow-list of `cyberlab.spec.custom`
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cyberlab.spec.custom import custom_lines
from cyberlab.spec.files import CONTEXT
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.problems import find_problems
from cyberlab.spec.requirements import npm_package, pip_requirement
from cyberlab.spec.run import command_of, ports_of
from cyberlab.wire import Catalogue, Problem

USER = "1000:1000"
"""`app` of every base. The number, because an instruction of the user's own might rename the name."""

HOME_WORKDIR = "/usr/src/app"
"""The one folder that every base has already made for `app`."""


def render(spec: ImageSpec, catalogue: Catalogue) -> str:
    """The Dockerfile of `spec`.

    What has a problem is left out, and a comment names its field. The lab builds only specs without problems.

    Raises:
        ValueError: the base is not in the catalogue; without one there is nothing to begin with.
    """
    base = catalogue.base(spec.base)
    if base is None:
        raise ValueError(f"there is no base image {spec.base!r} in the catalogue")
    found = find_problems(spec, catalogue)
    sound = _without(found, spec)
    command = () if "command" in map(_field_of, found) else command_of(sound, catalogue)
    blocks = (
        _head(found),
        _block("Start from a base image of the lab", f"FROM {base.image}"),
        _apt(sound.apt),
        _pip(sound.pip),
        _npm(sound.npm),
        _workdir(sound.workdir),
        _block("Your own instructions", *custom_lines(sound.custom)),
        _env(sound.env),
        _copy(sound),
        _expose(ports_of(sound, catalogue)),
        _block('Run as the ordinary user "app", never as root', f"USER {USER}"),
        _command(command),
    )
    return "\n\n".join(block for block in blocks if block) + "\n"


# ---------------------------------------------------------------- one block each
def _block(comment: str, *lines: str) -> str:
    return "\n".join((f"# {comment}", *lines)) if lines else ""


def _head(found: Iterable[Problem]) -> str:
    lines = ["# Made by cyberlab from a form: the same form always gives the same text."]
    # only the field's own name: the rest of a path may hold what the user typed
    fields = sorted({_field_of(problem) for problem in found} & _WRITTEN)
    if fields:
        lines.append(f"# Left out until their problems are solved: parts of {', '.join(fields)}.")
    return "\n".join(lines)


def _apt(apt: Sequence[str]) -> str:
    if not apt:
        return ""
    return _block(
        "Debian packages",
        "RUN apt-get update \\",
        " && apt-get install -y --no-install-recommends \\",
        *_listed(sorted(apt), end=" \\"),
        " && apt-get clean && rm -rf /var/lib/apt/lists/*",
    )


def _pip(pip: Sequence[str]) -> str:
    requirements = sorted(filter(None, map(pip_requirement, pip)))
    if not requirements:
        return ""
    return _block("Python libraries", "RUN pip install \\", *_listed(map(str, requirements)))


def _npm(npm: Sequence[str]) -> str:
    packages = sorted(filter(None, map(npm_package, npm)))
    if not packages:
        return ""
    return _block(
        "JavaScript libraries",
        "RUN npm install --prefix /opt/node --no-save \\",
        *_listed(map(str, packages), end=" \\"),
        " && rm -rf /root/.npm",
    )


def _workdir(workdir: str) -> str:
    made = (
        []
        if workdir == HOME_WORKDIR
        else [f"RUN install -d -o {USER.split(':')[0]} -g {USER.split(':')[1]} {workdir}"]
    )
    return _block("The folder of your program", *made, f"WORKDIR {workdir}")


def _env(env: Mapping[str, str]) -> str:
    if not env:
        return ""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in sorted(env.items())]
    first, *rest = pairs
    lines = [f"ENV {first}", *(f"    {pair}" for pair in rest)]
    return _block("Settings that your program reads from its environment", " \\\n".join(lines))


def _copy(spec: ImageSpec) -> str:
    if not spec.files:
        return ""
    return _block(
        "Your files; they come late, so that a change in them rebuilds little else",
        f"COPY --chown={USER} {CONTEXT}/ ./",
    )


def _expose(ports: Sequence[int]) -> str:
    return (
        _block("Ports that your program listens on", f"EXPOSE {' '.join(map(str, ports))}") if ports else ""
    )


def _command(command: Sequence[str]) -> str:
    return (
        _block("What runs when a container starts", f"CMD {json.dumps(command, ensure_ascii=False)}")
        if command
        else ""
    )


# ---------------------------------------------------------------- words
def _listed(words: Iterable[str], end: str = "") -> Iterator[str]:
    """One word a line, quoted for the shell where it must be, each but the last continued."""
    quoted = [f"      {shlex.quote(word)}" for word in words]
    return (line + (" \\" if index < len(quoted) - 1 else end) for index, line in enumerate(quoted))


def _escaped(value: str) -> str:
    r"""For inside the double quotes of ENV, where ``\``, ``"`` and ``$`` have a meaning."""
    return re.sub(r'([\\"$])', r"\\\1", value)


# ---------------------------------------------------------------- what may be written
_EMPTY = {"workdir": HOME_WORKDIR, "command": (), "scenario": "", "custom": ""}
_LISTS = ("apt", "pip", "npm", "ports")
_WRITTEN = frozenset({*_EMPTY, *_LISTS, "env"})
"""The fields whose values become text."""


def _field_of(problem: Problem) -> str:
    return re.split(r"[.\[]", problem.path, maxsplit=1)[0]


def _without(found: Iterable[Problem], spec: ImageSpec) -> ImageSpec:
    """`spec` without what has a problem: an item where an item has one, the field where the field has."""
    paths = {problem.path for problem in found}
    fields = {_field_of(problem) for problem in found}
    changed: dict[str, object] = {field: empty for field, empty in _EMPTY.items() if field in fields}
    for field in _LISTS:
        items = () if field in paths else getattr(spec, field)
        changed[field] = tuple(item for index, item in enumerate(items) if f"{field}[{index}]" not in paths)
    env = {} if "env" in paths else spec.env
    changed["env"] = {name: value for name, value in env.items() if f"env.{name}" not in paths}
    return spec.model_copy(update=changed)
