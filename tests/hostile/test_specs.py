"""Specs and own instructions that try to leave their place: refused before a job is made, or built harmlessly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cyberlab import FileEntry, ImageSpec
from hostile.attack import Attack, Scene, table

Values = dict[str, Any]


def plain(**changes: Any) -> Values:
    """A spec as JSON that could be built, but for what is changed."""
    files = [{"path": "main.py", "text": "print('never built')\n"}]
    return {"name": "evil", "base": "python", "files": files, "command": ["python3", "main.py"], **changes}


def refused(
    name: str, tries: str, changes: Values, code: str, layer: str = "policy", status: int = 422
) -> Attack:
    """An attack that the service answers with a code, in the error itself or beside a field; no job is made."""

    def run(scene: Scene) -> None:
        assert_refused(scene, json.dumps({"spec": plain(**changes)}).encode(), code, status)

    return Attack("specs", name, tries, f"refused as {code}, no job is made", layer, run)


def assert_refused(scene: Scene, body: bytes, code: str, status: int = 422) -> None:
    http = scene.mallory.http
    before = http.get("/jobs").json()
    answer = http.post("/builds", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text[:500]
    error = answer.json()["error"]
    codes = {error["code"], *(problem["code"] for problem in error["problems"])}
    assert code in codes, codes
    assert error["message"].isprintable()
    assert len(answer.content) < 200_000
    assert http.get("/jobs").json() == before, "a job was made"


def own(name: str, tries: str, text: str, code: str) -> Attack:
    """Own instructions."""
    return refused(f"own-{name}", tries, {"custom": text}, code)


OWN = (
    own("user", "becomes root with USER", "USER root", "custom-verb"),
    own("user-small", "writes the verb in small letters", "RUN true\nuser root", "custom-verb"),
    own("from", "starts from another image", "FROM cyberlab/node", "custom-verb"),
    own("stage", "begins a second stage", "FROM cyberlab/python AS other", "custom-verb"),
    own("arg-from", "names the base by a variable", "ARG X=cyberlab/node\nFROM ${X}", "custom-verb"),
    own("copy-from", "copies from another user's image", "COPY --from=cyberlab/node / /x", "custom-verb"),
    own("copy", "copies what is beside its files", "COPY . /x", "custom-verb"),
    own(
        "add-url", "makes the daemon fetch an address", "ADD http://169.254.169.254/latest /x", "custom-verb"
    ),
    own("add-file", "adds an archive of the context", "ADD x.tar /", "custom-verb"),
    own("entrypoint", "puts a program before the command", 'ENTRYPOINT ["sh"]', "custom-verb"),
    own("shell", "replaces the shell", 'SHELL ["/bin/bash", "-c"]', "custom-verb"),
    own("onbuild", "leaves a trap for whoever builds upon it", "ONBUILD RUN id", "custom-verb"),
    own("healthcheck", "has the engine run a command for ever", "HEALTHCHECK CMD id", "custom-verb"),
    own("volume", "declares a volume", "VOLUME /var/run", "custom-verb"),
    own("stopsignal", "cannot be stopped", "STOPSIGNAL SIGCONT", "custom-verb"),
    own("unknown", "uses a verb that engines may know one day", "CROSS_BUILD all", "custom-verb"),
    own("lookalike", "writes RUN with letters that look like it", "\uff32\uff35\uff2e id", "custom-verb"),
    own("nbsp", "puts a space that is none after the verb", "RUN\u00a0id", "custom-verb"),
    own("bom", "begins with a byte order mark", "\ufeffUSER root", "custom-verb"),
    own("long-s", "writes USER with a long s", "u\u017fer root", "custom-verb"),
    own(
        "mount",
        "mounts another image",
        "RUN --mount=type=bind,from=cyberlab/node,target=/x id",
        "custom-form",
    ),
    own("mount-secret", "mounts a secret", "RUN --mount=type=secret,id=x id", "custom-form"),
    own("insecure", "asks for the insecure mode", "RUN --security=insecure id", "custom-form"),
    own("host-network", "asks for the host's network", "RUN --network=host id", "custom-form"),
    own("heredoc", "hides instructions in a heredoc", "RUN <<E\nUSER root\nE", "custom-form"),
    own("heredoc-late", "hides them behind a command", "RUN cat <<-'E' > x\nUSER root\nE", "custom-form"),
    own("folded", "goes on in the next line", "RUN true \\\nUSER root", "custom-form"),
    own("folded-windows", "goes on with the other escape", "RUN true `\nUSER root", "custom-form"),
    own("syntax", "has the engine fetch another parser", "# syntax=evil/parser", "custom-form"),
    own("escape", "changes the escape character", "#escape=`", "custom-form"),
    own("check", "switches checks off", "# check=skip=all", "custom-form"),
    own("nul", "hides what follows a NUL", "RUN true\0\nUSER root", "custom-form"),
    own("cr", "hides a line behind a carriage return", "RUN true\rUSER root", "custom-form"),
    own("ff", "hides a line behind a form feed", "RUN true\x0cUSER root", "custom-form"),
    own("vt", "hides a line behind a vertical tab", "RUN true\x0bUSER root", "custom-form"),
    own("nel", "hides a line behind a next-line character", "RUN true\x85USER root", "custom-form"),
    own("ls", "hides a line behind a line separator", "RUN true\u2028USER root", "custom-form"),
    own("bidi", "shows a reader another order", "RUN true \u202e#", "custom-form"),
    own("tab", "divides words by a tab", "RUN\tid", "custom-form"),
    own("label-lab", "claims to be another user's image", 'LABEL cyberlab.owner="ben"', "custom-form"),
    own("label-org", "claims a label of the lab", 'LABEL org.cyberlab.base="x"', "custom-form"),
    own("label-two", "puts more behind a label", "LABEL a=1 cyberlab.owner=ben", "custom-form"),
    own("label-variable", "fills a label from a variable", 'LABEL a="$HOME"', "custom-form"),
    own("many", "writes 100,000 lines", "RUN id\n" * 100_000, "custom-too-long"),
    own("long", "writes a line of 3 MB", "RUN " + "x" * 3_000_000, "custom-too-long"),
)

FIELDS = (
    refused(
        "name-climbs", "climbs out of its repository by its name", {"name": "../ben/hut"}, "name-invalid"
    ),
    refused("name-of-ben", "names an image of another user", {"name": "ben/hut"}, "name-invalid"),
    refused("name-tag", "overwrites a version by its name", {"name": "hut:1"}, "name-invalid"),
    refused("name-huge", "has a name of 5 MB", {"name": "a" * 5_000_000}, "name-invalid"),
    refused("base-scratch", "starts from nothing", {"base": "scratch"}, "base-unknown"),
    refused("base-two-words", "smuggles a stage into the base", {"base": "python AS x"}, "base-unknown"),
    refused(
        "base-lines", "smuggles an instruction into the base", {"base": "python\nUSER root"}, "base-unknown"
    ),
    refused(
        "apt-command", "smuggles a command into a package", {"apt": ["i2c-tools; id"]}, "library-unknown"
    ),
    refused(
        "apt-option",
        "smuggles an option into a package",
        {"apt": ["-oAPT::Update::Pre-Invoke::=id"]},
        "library-unknown",
    ),
    refused("pip-url", "installs from an address", {"pip": ["http://127.0.0.1:8000/x.whl"]}, "library-form"),
    refused("pip-file", "installs from the builder's disk", {"pip": ["x @ file:///etc"]}, "library-form"),
    refused("pip-option", "reads a file as requirements", {"pip": ["-r/etc/passwd"]}, "library-form"),
    refused("pip-index", "names an index of its own", {"pip": ["--index-url=http://evil"]}, "library-form"),
    refused(
        "pip-lines", "smuggles an instruction into a library", {"pip": ["numpy\nUSER root"]}, "library-form"
    ),
    refused("pip-folded", "ends a library with a backslash", {"pip": ["numpy\\"]}, "library-form"),
    refused(
        "pip-million", "asks for a million libraries", {"pip": ["a"] * 1_000_000}, "body-too-full", "guard"
    ),
    refused("npm-path", "installs from a folder", {"base": "node", "npm": ["../../x"]}, "library-form"),
    refused(
        "npm-git", "installs from a repository", {"base": "node", "npm": ["git+ssh://x/y"]}, "library-form"
    ),
    refused("workdir-etc", "works in a folder of the system", {"workdir": "/etc"}, "workdir-invalid"),
    refused(
        "workdir-climbs", "climbs out of its folder", {"workdir": "/usr/src/../../etc"}, "workdir-invalid"
    ),
    refused(
        "workdir-variable", "names its folder by a variable", {"workdir": "/opt/app/$HOME"}, "workdir-invalid"
    ),
    refused(
        "workdir-lines",
        "smuggles an instruction into it",
        {"workdir": "/opt/app\nUSER root"},
        "workdir-invalid",
    ),
    refused(
        "env-name",
        "smuggles an instruction into a name",
        {"env": {"A=1\nUSER root\nENV B": "x"}},
        "env-name-invalid",
    ),
    refused("env-value", "smuggles one into a value", {"env": {"A": '1"\nUSER root'}}, "env-value-invalid"),
    refused(
        "env-preload",
        "loads a library into every program",
        {"env": {"LD_PRELOAD": "/x.so"}},
        "env-name-reserved",
    ),
    refused(
        "env-token", "replaces the lab's own variable", {"env": {"CYBERLAB_TOKEN": "x"}}, "env-name-reserved"
    ),
    refused(
        "env-large",
        "fills the environment",
        {"env": {f"A{n}": "x" * 4000 for n in range(60)}},
        "env-too-large",
    ),
    refused(
        "command-lines",
        "smuggles an instruction into the command",
        {"command": ["sh", '"]\nUSER root']},
        "command-invalid",
    ),
    refused(
        "command-large",
        "writes a line that no engine reads",
        {"command": ["sh", *["é" * 2000] * 20]},
        "command-too-long",
    ),
    refused("port-engine", "listens where the engine does", {"ports": [2376]}, "port-reserved"),
    refused("port-low", "listens on a port of the system", {"ports": [22]}, "port-invalid"),
    refused("port-huge", "has a port of 4,000 digits", {"ports": [int("9" * 4000)]}, "port-invalid"),
    refused("device", "asks for the host's disk", {"devices": ["/dev/sda"]}, "device-profile-unknown"),
    refused(
        "platform",
        "asks for an option of the builder",
        {"platforms": ["linux/amd64 --privileged"]},
        "platform-unknown",
    ),
    refused(
        "field-dockerfile",
        "sends a Dockerfile instead",
        {"dockerfile": "FROM scratch"},
        "extra-forbidden",
        "guard",
    ),
    refused("field-privileged", "asks to be privileged", {"privileged": True}, "extra-forbidden", "guard"),
    refused("file-climbs", "puts a file outside", {"files": [{"path": "../../x", "text": ""}]}, "file-path"),
    refused(
        "file-absolute",
        "puts a file into the system",
        {"files": [{"path": "/etc/passwd", "text": ""}]},
        "file-path",
    ),
    refused("file-nul", "ends a file's name early", {"files": [{"path": "a\0b", "text": ""}]}, "file-path"),
    refused(
        "file-case",
        "has two files that are one elsewhere",
        {"files": [{"path": "A", "text": ""}, {"path": "a", "text": ""}]},
        "file-case",
    ),
    refused(
        "file-twofold",
        "gives a file two contents",
        {"files": [{"path": "a", "text": "x", "data": "eA=="}]},
        "file-content",
    ),
    refused(
        "file-many",
        "sends 2,000 files",
        {"files": [{"path": f"{n}", "text": ""} for n in range(2000)]},
        "files-too-many",
    ),
    refused(
        "file-large",
        "sends a file of 2 MB",
        {"files": [{"path": "a", "text": "x" * 2_000_000}]},
        "file-too-large",
    ),
)


def raw(name: str, tries: str, body: Callable[[], bytes], code: str, status: int = 422) -> Attack:
    """JSON that is a bomb itself; another user is answered meanwhile."""

    def run(scene: Scene) -> None:
        assert_refused(scene, body(), code, status)
        assert scene.ben.http.get("/images").status_code == 200

    return Attack("specs", name, tries, f"refused as {code} before it is parsed", "guard", run)


JSON = (
    raw("json-deep", "nests a million lists", lambda: b"[" * 1_000_000, "body-too-deep"),
    raw("json-objects", "nests 100,000 objects", lambda: b'{"spec":' * 100_000, "body-too-deep"),
    raw(
        "json-wrong",
        "makes a million mistakes",
        lambda: b'{"spec":{"name":"a","files":[' + b"1," * 10**6 + b"1]}}",
        "body-too-full",
    ),
    raw(
        "json-fields",
        "has a million unknown fields",
        lambda: b'{"spec":{' + b",".join(b'"%d":1' % n for n in range(10**6)) + b"}}",
        "body-too-full",
    ),
    raw(
        "json-quotes",
        "opens a text that never ends",
        lambda: b'{"spec":"' + b'\\"' * 5_000_000 + b"\\",
        "request-invalid",
    ),
    raw(
        "json-utf16",
        "hides its commas from the count",
        lambda: json.dumps({"spec": plain()}).encode("utf-16"),
        "body-not-utf8",
    ),
    raw(
        "json-number",
        "writes a number of 5,000 digits",
        lambda: b'{"spec":{"name":"a","ports":[' + b"9" * 5000 + b"]}}",
        "bad-request",
        400,
    ),
    raw(
        "json-twice",
        "says a field twice and hopes for two readers",
        lambda: b'{"spec":{"name":"evil","custom":"RUN id","custom":"USER root"}}',
        "custom-verb",
    ),
    raw("json-large", "sends 13 MB", lambda: b'{"spec":"' + b"x" * 13_000_000, "body-too-large", 413),
)


# ---------------------------------------------------------------- allowed, and harmless
LOOK = """
import json, os, pathlib, subprocess, sys
def tell(**seen):
    print(json.dumps(seen))  # a line each: a log cuts long ones
root = [line for line in pathlib.Path("/etc/passwd").read_text().splitlines() if ":0:0:" in line]
tell(uid=os.getuid(), argv=sys.argv[1:], here=os.getcwd(), root=root, ran=pathlib.Path("/opt/ran").read_text())
tell(became=subprocess.run(["/bin/sh", "-p", "-c", "id -u"], capture_output=True, text=True).stdout.strip())
for name in os.environ:
    tell(env={name: os.environ[name]})
for path in pathlib.Path(".").rglob("*"):
    if path.is_file() and path.name != "main.py":
        tell(files={str(path): path.read_text()})
"""
NASTY_ENV = {
    "QUOTES": 'a" USER="root',
    "BACKSLASH": "ends with \\",
    "DOLLAR": "$PATH ${HOME} $(id) `id`",
    "HASH": "# syntax=evil/parser",
    "HEREDOC": "<<EOF",
    "BRACES": "{{.Node.ID}}",
    "LETTERS": "\u0130\u017f\u1e9e\ufeff",
}
NASTY_ARGS = ('"]', "\\", "$HOME", "# no comment", "<<EOF", "--privileged", "\ufeff", "; id > /tmp/x")
NASTY_FILES = {
    "Dockerfile": "FROM scratch\nUSER root\n",
    ".dockerignore": "*\n",
    "a --from=ben.py": "x",
    "$HOME.txt": "x",
    "[main].py": "x",
    "files/Dockerfile": "ONBUILD RUN id\n",
}
NASTY_CUSTOM = (
    "# a comment with \\ in it and USER root",
    "RUN echo one; echo USER root; echo 'FROM scratch' > /opt/ran",
    'RUN ["sh", "-c", "echo exec >> /opt/ran"]',
    "RUN [ not JSON ] || echo shell >> /opt/ran",
    "RUN sed -i s/^app:/root2:/ /etc/passwd && sed -i s/^root:x:0:0/app:x:0:0/ /etc/passwd",
    "RUN chmod u+s /bin/sh",
    "RUN ln -s /etc /usr/src/app/link-to-etc",
    'label course="USER root"',
)


def looked(scene: Scene) -> Values:
    """Everything nasty that the rules allow, in one image; what its program saw."""

    def build_and_look() -> Values:
        files = (FileEntry(path="main.py", text=LOOK),)
        files += tuple(FileEntry(path=path, text=text) for path, text in NASTY_FILES.items())
        wanted = ImageSpec(
            name="nasty",
            files=files,
            env=NASTY_ENV,
            command=("python3", "main.py", *NASTY_ARGS),
            custom="\n".join(NASTY_CUSTOM),
        )
        lab = scene.mallory.lab
        image = lab.build(wanted, show=False, timeout=240)
        job = lab.run(image, seconds=30, show=False)
        found: Values = {"env": {}, "files": {}}
        for event in lab.job(job.id).events():
            told = json.loads(event.text) if event.text.startswith("{") else {}
            found["env"] |= told.pop("env", {})
            found["files"] |= told.pop("files", {})
            found |= told
        return found

    return scene.once("the nasty image", build_and_look)


def harmless(name: str, tries: str, holds: Callable[[Values], bool], layer: str = "dockerfile") -> Attack:
    def run(scene: Scene) -> None:
        seen = looked(scene)
        assert holds(seen), seen

    return Attack("specs", f"built-{name}", tries, "it is built as what it is: a value", layer, run)


BUILT = (
    harmless("env", "escapes from the environment's quotes", lambda s: NASTY_ENV.items() <= s["env"].items()),
    harmless("command", "escapes from the command's list", lambda s: s["argv"] == list(NASTY_ARGS)),
    harmless(
        "dockerfile",
        "brings a Dockerfile of its own",
        lambda s: s["files"]["Dockerfile"] == NASTY_FILES["Dockerfile"],
    ),
    harmless("dockerignore", "hides files from the build", lambda s: set(NASTY_FILES) <= set(s["files"])),
    harmless("file-names", "has file names that are options", lambda s: s["files"]["a --from=ben.py"] == "x"),
    harmless(
        "run",
        "writes instructions inside of RUN",
        lambda s: s["ran"].startswith("FROM scratch\n") and s["uid"] == 1000,
    ),
    harmless("run-list", "writes RUN as a list", lambda s: "exec\n" in s["ran"]),
    harmless("run-broken-list", "writes RUN as a list that is none", lambda s: "shell\n" in s["ran"]),
    harmless(
        "app-is-root",
        "gives root the name of the ordinary user",
        lambda s: s["root"][0].startswith("app:") and s["uid"] == 1000,
    ),
    harmless("setuid", "leaves a shell that becomes root", lambda s: s["became"] == "1000", "container flag"),
    harmless("link", "puts a link to the system beside the files", lambda s: s["here"] == "/usr/src/app"),
)


@table(OWN + FIELDS + JSON)
def test_specs_that_are_refused(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)


@table(BUILT)
def test_specs_that_are_harmless(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
