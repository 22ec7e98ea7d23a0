"""Commands about specs: ``init``, ``render``, ``build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cyberlab.cli.shell import Json, Out, speaking
from cyberlab.errors import LabError, SpecRefused

if TYPE_CHECKING:
    from cyberlab.spec.image import ImageSpec
    from cyberlab.wire import Catalogue, Scenario

Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A spec file (YAML or JSON), a folder or archive with your program, or the name of a spec in the lab.",
    ),
]


def load(out: Out, spec: str) -> ImageSpec:
    """The spec of a file, folder or archive; if there is none and it may be one, of the lab's saved specs."""
    path = Path(spec)
    if "/" not in spec and not path.suffix and not path.exists():
        return out.lab.spec(spec)
    from cyberlab.cli.specfile import SpecFile  # yaml and pydantic take a moment

    out.spec_file = SpecFile(path)
    return out.spec_file.load()


def init(
    name: Annotated[str, typer.Argument(help="Name of the image: lower-case letters, digits and hyphens.")],
    scenario: Annotated[str, typer.Option(help="How it runs; see the list in the file.")] = "",
    base: Annotated[str, typer.Option(help="Base image; by default the first that fits the scenario.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    json: Json = False,
) -> None:
    """Begin: write a spec file NAME.yaml and a small program that works.

    \b
    Examples:
      cyberlab init greenhouse
      cyberlab init hello --scenario http-service
    """
    with speaking(json) as out:
        catalogue = out.lab.catalogue()
        chosen = _scenario(catalogue, scenario, base)
        base = base or chosen.bases[0]
        if base not in chosen.bases:
            raise LabError("base-unfit", f"{chosen.name} runs on {', '.join(chosen.bases)}, not on {base!r}.")
        files = {
            Path(f"{name}.yaml"): _skeleton(name, base, chosen, catalogue),
            Path(chosen.sample_path): chosen.sample,
        }
        _write(files, force)
        if json:
            out.data({"spec": f"{name}.yaml", "files": [str(path) for path in files]})
        else:
            out.say("Written: " + ", ".join(str(path) for path in files))
            out.say(f"Next:    cyberlab build {name}.yaml")


def render(
    spec: Spec,
    advice: Annotated[
        bool,
        typer.Option("--advice", help="Also say what works and could be better; it never stops a build."),
    ] = False,
    json: Json = False,
) -> None:
    """Show the Dockerfile that a spec becomes, and everything that is wrong with the spec.

    Nothing is built or changed. Exit code 3 if the spec has problems.

    \b
    Examples:
      cyberlab render greenhouse.yaml
      cyberlab render greenhouse.yaml > Dockerfile
      cyberlab render greenhouse.yaml --advice
    """
    with speaking(json) as out:
        wanted = load(out, spec)
        from cyberlab.spec.dockerfile import render as dockerfile
        from cyberlab.spec.problems import find_problems

        catalogue = out.lab.catalogue()
        problems = find_problems(wanted, catalogue)
        text = dockerfile(wanted, catalogue) if catalogue.base(wanted.base) else ""
        found = out.lab.advice(wanted) if advice and text else None
        if json and not problems:
            told = {} if found is None else {"advice": [one.model_dump(mode="json") for one in found]}
            out.data({"dockerfile": text} | told)
        elif not json:
            show_dockerfile(out, text)
        for one in found or ():
            out.note(f"line {one.line}  {one.message} [{one.code}]")
        if problems:
            raise SpecRefused("spec-refused", f"{wanted.name} cannot be built yet.", problems)


def build(
    spec: Spec,
    watch: Annotated[
        bool, typer.Option("--watch/--detach", help="Wait for the end, or only start it.")
    ] = True,
    json: Json = False,
) -> None:
    """Build an image from a spec. An unchanged spec costs nothing: the image from before is used.

    A folder or an archive (zip, tar.gz ...) is a spec too: its files, the base python, and main.py as the program;
    a file cyberlab.yaml in the folder says otherwise.

    Ctrl-C leaves the build running; ``cyberlab logs -f JOB`` takes it up again, ``cyberlab cancel JOB`` stops it.

    \b
    Examples:
      cyberlab build greenhouse.yaml
      cyberlab build greenhouse.yaml --detach --json
      cyberlab build ./greenhouse
      cyberlab build greenhouse.zip
    """
    with speaking(json) as out:
        handle = out.lab.start_build(load(out, spec))
        if not watch:
            out.view(handle.job, handle.id)
            out.note(f"Watch it: cyberlab logs -f {handle.id}")
            return
        job = out.follow(handle)
        ref = str(job.result.get("image", job.name)).rpartition("/")[2]
        out.view(job, ref)
        out.note(f"Try it out: cyberlab run {ref}    Deploy it: cyberlab deploy {ref} --device pi01")


def show_dockerfile(out: Out, text: str) -> None:
    if not text or not out.console.is_terminal:
        out.console.out(text, end="", highlight=False)
        return
    from rich.syntax import Syntax

    out.console.print(Syntax(text, "docker", theme="ansi_dark", background_color="default"))


# ---------------------------------------------------------------- the skeleton
def _scenario(catalogue: Catalogue, name: str, base: str) -> Scenario:
    if not name:
        fitting = [one for one in catalogue.scenarios if not base or base in one.bases]
        if fitting:
            return fitting[0]
    found = catalogue.scenario(name)
    if found is None:
        known = "\n".join(f"  {one.name}: {one.summary}" for one in catalogue.scenarios)
        raise LabError(
            "scenario-unknown", f"There is no scenario {name!r} (base {base or 'any'}). There are:\n{known}"
        )
    return found


def _skeleton(name: str, base: str, scenario: Scenario, catalogue: Catalogue) -> str:
    width = max(
        len(name) for name in (*(b.name for b in catalogue.bases), *(s.name for s in catalogue.scenarios))
    )
    bases = "\n".join(f"#   {one.name:<{width}}  {one.summary}" for one in catalogue.bases)
    scenarios = "\n".join(f"#   {one.name:<{width}}  {one.summary}" for one in catalogue.scenarios)
    lines = [
        f"# What the image {name!r} is made of.",
        f"# Look:   cyberlab render {name}.yaml     Build:  cyberlab build {name}.yaml",
        "",
        f"name: {name}",
        "",
        "# Base images:",
        bases,
        f"base: {base}",
        "",
        "# How it runs:",
        scenarios,
        f"scenario: {scenario.name}",
        "",
        "# Libraries, such as  pip: [numpy==2.1.0, requests]",
        "apt: []",
        "pip: []",
        "",
        "# Your files: names of files and folders beside this one.",
        "files:",
        f"  - {scenario.sample_path}",
        "",
        "# What your program finds in its environment, such as  INTERVAL: 1",
        "env: {}",
    ]
    return "\n".join(lines) + "\n"


def _write(files: dict[Path, str], force: bool) -> None:
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise LabError(
            "file-exists", f"{', '.join(there)} is there already. Use another name, or --force to replace."
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise LabError("file-unwritable", f"{error.filename} cannot be written: {error.strerror}.") from error
