"""Run a file of probes where a user's code runs, and read what each found.

    findings = in_trial(scene, "escape")            # or in_build, in_exec, in_deployment, in_notebook
    assert findings["mount_proc"].failed_with("PermissionError")

A file of probes is a module of `inside/` that needs nothing but Python's standard library: each function without an
underscore is a probe. It is given `facts` (a dict of what the attacker knows: addresses, ports, names) and returns
something JSON can hold, or raises. `inside/run.py` runs each in a process of its own, for at most ten seconds, and
prints a line. Wrap the call in `scene.once`: one container for the whole table.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyberlab import FileEntry, ImageSpec
from cyberlab.wire import Phase
from hostile.scene import Scene, Someone

INSIDE = Path(__file__).parent / "inside"
MARK = "probe-finding:"
PREPARED = {
    "escape": "RUN cp $(readlink -f $(which python3)) /usr/src/app/rootshell && chmod 4755 /usr/src/app/rootshell"
}
"""What the image of a file of probes has besides them: here a copy of Python that is root's, with the setuid bit."""
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """What one probe found: a value, or an exception."""

    value: Any = None
    error: str = ""
    """Name of the exception's class; ``killed`` when the process was ended by a signal; empty when it returned."""
    text: str = ""

    def failed_with(self, *errors: str) -> bool:
        return self.error in errors


class Findings(dict[str, Finding]):
    """By name of the probe."""

    def __missing__(self, name: str) -> Finding:
        raise AssertionError(f"the probe {name} did not report; there are {', '.join(self) or 'none'}")


def probe_files(module: str, facts: Facts) -> tuple[FileEntry, ...]:
    texts = {
        "run.py": (INSIDE / "run.py").read_text(),
        f"{module}.py": (INSIDE / f"{module}.py").read_text(),
        "facts.json": json.dumps(dict(facts)),
        "main.py": "import time\nprint('ready', flush=True)\ntime.sleep(3600)\n",
    }
    return tuple(FileEntry(path=path, text=text) for path, text in texts.items())


def probe_spec(name: str, module: str, facts: Facts, custom: str = "", **more: Any) -> ImageSpec:
    """An image with the probes inside; by itself it sleeps. `more`: other fields of the spec."""
    return ImageSpec(
        name=name,
        base="python",
        files=probe_files(module, facts),
        command=("python3", "main.py"),
        custom=custom or PREPARED.get(module, ""),
        **more,
    )


def in_trial(scene: Scene, module: str, facts: Facts | None = None, who: Someone | None = None) -> Findings:
    who = who or scene.mallory
    image = _image(scene, who, module, facts or {})
    handle = who.lab.start_trial(image, seconds=120, command=("python3", "run.py", module))
    return _watched(handle)


def in_exec(scene: Scene, module: str, facts: Facts | None = None, who: Someone | None = None) -> Findings:
    """In a running trial, as a command."""
    who = who or scene.mallory
    image = _image(scene, who, module, facts or {})
    handle = who.lab.start_trial(image, seconds=120)
    try:
        deadline = time.monotonic() + 60
        while handle.refresh().phase is not Phase.RUNNING:
            assert time.monotonic() < deadline, "the trial did not start"
            time.sleep(0.2)
        return read_findings(who.lab.exec(handle.id, ("python3", "run.py", module)).output.splitlines())
    finally:
        handle.cancel()


def in_build(scene: Scene, module: str, facts: Facts | None = None, who: Someone | None = None) -> Findings:
    """In a RUN instruction. The files of a spec come after it, so the probes travel inside the instruction."""
    who = who or scene.mallory
    name = f"probe-{secrets.token_hex(3)}"
    spec = probe_spec(name, module, facts or {}, custom="\n".join(carried(module, facts or {})))
    handle = who.lab.start_build(spec)
    findings = _watched(handle)
    who.lab.delete_image(f"{name}:1")
    return findings


def carried(module: str, facts: Facts, command: str = "") -> list[str]:
    """RUN lines that put the probes into the image and run them (or `command`, in their folder)."""
    lines = []
    for entry in probe_files(module, facts):
        packed = base64.b64encode(zlib.compress((entry.text or "").encode(), 9)).decode()
        pieces = [packed[at : at + 850] for at in range(0, len(packed), 850)] or [""]
        lines += [f"RUN printf %s {piece} >> /tmp/{entry.path}.z" for piece in pieces]
    unpack = (
        "import base64,glob,zlib; "
        "[open(p[:-2],'wb').write(zlib.decompress(base64.b64decode(open(p).read()))) for p in glob.glob('/tmp/*.z')]"
    )
    lines.append(
        f'RUN python3 -c "{unpack}" && cd /tmp && {command or f"python3 run.py {module}"}; rm -rf /tmp/*'
    )
    return lines


def in_deployment(
    scene: Scene, module: str, facts: Facts | None = None, who: Someone | None = None
) -> Findings:
    """On a device."""
    who = who or scene.mallory
    image = _image(scene, who, module, facts or {})
    name = f"probe-{secrets.token_hex(3)}"
    command = ("sh", "-c", f"python3 run.py {module}; exec sleep 3600")
    who.lab.deploy(image, name=name, devices=[scene.ben.device], command=command, show=False, timeout=120)
    try:
        wanted = probe_names(module)
        deadline = time.monotonic() + 120
        findings = Findings()
        while not wanted <= findings.keys():
            assert time.monotonic() < deadline, f"on the device only {', '.join(findings)} reported"
            time.sleep(0.5)
            findings = read_findings(line.text for line in who.lab.deployment_logs(name, tail=1000))
        return findings
    finally:
        who.lab.stop(name)


def in_notebook(
    scene: Scene, module: str, facts: Facts | None = None, who: Someone | None = None
) -> Findings:
    """In a cell of the person's own server."""
    server = scene.server(who or scene.mallory)
    files = {entry.path: entry.text for entry in probe_files(module, facts or {})}
    code = f"""
import pathlib, subprocess, sys
folder = pathlib.Path("/tmp/probes"); folder.mkdir(exist_ok=True)
for path, text in {files!r}.items(): (folder / path).write_text(text)
print(subprocess.run([sys.executable, "run.py", {module!r}], cwd=folder, capture_output=True, text=True).stdout)
"""
    return read_findings(server.run(code, 240).splitlines())


def probe_names(module: str) -> set[str]:
    """The probes of a file of `inside/`."""
    lines = (INSIDE / f"{module}.py").read_text().splitlines()
    names = {line.split("(")[0].removeprefix("def ") for line in lines if line.startswith("def ")}
    return {name for name in names if not name.startswith("_")}


def read_findings(lines: Iterable[str]) -> Findings:
    """Every report in the text, also where a log has put several into one line."""
    findings = Findings()
    for line in lines:
        for text in line.split(MARK)[1:]:
            report, _ = json.JSONDecoder().raw_decode(text)
            name = report.pop("probe")
            findings[name] = Finding(**report)
    return findings


def _image(scene: Scene, who: Someone, module: str, facts: Facts) -> str:
    """Built once for each person and file of probes."""
    key = f"probe image {who.name} {module} {json.dumps(dict(facts), sort_keys=True)}"
    name = f"probes-{module.replace('_', '-')}"
    return scene.once(
        key, lambda: _ref(who.lab.build(probe_spec(name, module, facts), show=False, timeout=180))
    )


def _ref(image: Any) -> str:
    return f"{image.name}:{image.version}"


def _watched(handle: Any) -> Findings:
    lines: list[str] = []
    handle.wait(240, on_event=lambda event: lines.append(event.text))
    return read_findings(lines)
