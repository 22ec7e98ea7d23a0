"""Commands about what runs: ``run exec logs ps cancel deploy devices images quota rm``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cyberlab.cli.shell import FAILED, Json, Out, argv, as_records, pairs, speaking
from cyberlab.errors import NotFound

Image = Annotated[str, typer.Argument(metavar="IMAGE", help="An image, such as greenhouse or greenhouse:3.")]
Command = Annotated[
    list[str] | None,
    typer.Argument(metavar="-- COMMAND...", help="What to run instead of the image's command."),
]
Env = Annotated[
    list[str] | None, typer.Option("--env", "-e", metavar="NAME=VALUE", help="Environment; may be repeated.")
]
Watch = Annotated[bool, typer.Option("--watch/--detach", help="Wait for the end, or only start it.")]


def run(
    image: Image,
    command: Command = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="Stopped after this time.")] = 60,
    env: Env = None,
    watch: Watch = True,
    json: Json = False,
) -> None:
    """Try an image out in the workshop. What it writes is shown; readings it would publish are shown too.

    \b
    Examples:
      cyberlab run greenhouse
      cyberlab run greenhouse:3 --seconds 10 --env INTERVAL=2
      cyberlab run greenhouse -- python3 -c "print(6 * 7)"
    """
    with speaking(json) as out:
        handle = out.lab.start_trial(image, seconds=seconds, command=argv(command), env=pairs(env, "--env"))
        if not watch:
            out.view(handle.job, handle.id)
            out.note(f"Watch it: cyberlab logs -f {handle.id}    Stop it: cyberlab cancel {handle.id}")
            return
        job = out.follow(handle)
        if json:
            out.data(job.model_dump(mode="json"))
        if job.result.get("exit_code"):
            raise typer.Exit(FAILED)


def exec_(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Id of a running trial; see cyberlab ps.")],
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")
    ],
    json: Json = False,
) -> None:
    """Run a command inside a running trial. The exit code is the command's.

    \b
    Examples:
      cyberlab exec b7f3a1 -- ls -l
      cyberlab exec --json b7f3a1 -- python3 -V
    """
    with speaking(json) as out:
        result = out.lab.exec(trial, argv(command))
        if json:
            out.data(result.model_dump())
        else:
            # a file gets what the program wrote; a terminal must not be steered by it
            lines = result.output.removesuffix("\n").split("\n")
            text = "\n".join(map(_clean, lines)) if out.console.is_terminal else "\n".join(lines)
            out.console.out(text, highlight=False)
        if result.exit_code:
            raise typer.Exit(result.exit_code)


def logs(
    what: Annotated[
        str, typer.Argument(metavar="JOB|DEPLOYMENT", help="Id of a job, or name of a deployment.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new line.")] = False,
    tail: Annotated[int, typer.Option(min=1, help="How many of a deployment's last lines.")] = 100,
    json: Json = False,
) -> None:
    """Show the log of a build, a trial or a deployment.

    \b
    Examples:
      cyberlab logs b7f3a1
      cyberlab logs -f greenhouse
    """
    with speaking(json) as out:
        try:
            handle = out.lab.job(what)
        except NotFound:
            _deployment_logs(out, what, tail, follow)
            return
        if follow and not json:
            out.follow(handle)
            return
        for event in handle.events() if follow else handle.past():
            if json:
                out.data(event.model_dump(mode="json"))
            elif event.kind != "step":
                out.say(_clean(f"[{event.phase}] {event.text}" if event.kind == "phase" else event.text))
        if follow:
            handle.result()


def _deployment_logs(out: Out, name: str, tail: int, follow: bool) -> None:
    try:
        lines = (
            out.lab.deployment_logs(name, tail=tail, follow=True)
            if follow
            else out.lab.deployment_logs(name, tail=tail)
        )
        for line in lines:
            if out.as_json:
                out.data(line.model_dump())
            else:
                out.say(f"{line.device:<8} {_clean(line.text)}")
    except NotFound as error:
        message = f"There is neither a job nor a deployment {name!r}. cyberlab ps --all lists them."
        raise NotFound(error.code, message) from error


def _clean(text: str) -> str:
    from cyberlab.progress.timeline import clean

    return clean(text)


def ps(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Jobs that have ended, too.")] = False,
    json: Json = False,
) -> None:
    """List what is running: jobs and deployments.

    \b
    Examples:
      cyberlab ps
      cyberlab ps --all
    """
    with speaking(json) as out:
        from cyberlab.tables import Table
        from cyberlab.wire import Job

        jobs = out.lab.jobs()
        shown = jobs if everything else Table(Job, (job for job in jobs if not job.phase.ended))
        deployments = out.lab.deployments()
        if json:
            out.data(as_records({"jobs": shown, "deployments": deployments}))
            return
        out.table(shown, "Jobs")
        out.table(deployments, "Deployments")


def cancel(job: Annotated[str, typer.Argument(metavar="JOB")], json: Json = False) -> None:
    """Stop a build, a trial or a deployment that is being rolled out.

    \b
    Example:
      cyberlab cancel b7f3a1
    """
    with speaking(json) as out:
        stopped = out.lab.job(job).cancel()
        out.view(stopped, f"The {stopped.kind} of {stopped.name} is being stopped.")


def deploy(
    image: Image,
    command: Command = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", help="A device; may be repeated.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", "-c", help="Every device of this cluster.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Its name; by default the image's.")
    ] = None,
    env: Env = None,
    watch: Watch = True,
    json: Json = False,
) -> None:
    """Run an image on devices until it is stopped. The same name again updates it in place.

    \b
    Examples:
      cyberlab deploy greenhouse --device pi01 --device pi02
      cyberlab deploy greenhouse:3 --cluster shelf --env INTERVAL=5
      cyberlab rm deployment greenhouse
    """
    with speaking(json) as out:
        handle = out.lab.start_deploy(
            image,
            name=name,
            devices=device or (),
            cluster=cluster,
            env=pairs(env, "--env"),
            command=argv(command),
        )
        if not watch:
            out.view(handle.job, handle.id)
            return
        out.follow(handle)
        if json:
            out.data(out.lab.deployment(handle.name).model_dump(mode="json"))
            return
        out.note(f"Its log: cyberlab logs -f {handle.name}    Stop it: cyberlab rm deployment {handle.name}")


def devices(json: Json = False) -> None:
    """List the devices: where code can run, and what state they are in.

    \b
    Example:
      cyberlab devices
    """
    with speaking(json) as out:
        out.table(out.lab.devices())


def images(json: Json = False) -> None:
    """List your images.

    \b
    Example:
      cyberlab images --json
    """
    with speaking(json) as out:
        out.table(out.lab.images())


def quota(json: Json = False) -> None:
    """How much of everything you may have, and how much you have.

    \b
    Example:
      cyberlab quota
    """
    with speaking(json) as out:
        out.table(out.lab.quotas())


rm = typer.Typer(no_args_is_help=True, help="Remove an image, a deployment, a thing or a saved spec.")


@rm.command("image")
def rm_image(
    image: Annotated[str, typer.Argument(metavar="NAME:VERSION")],
    json: Json = False,
) -> None:
    """Delete one version of an image.

    \b
    Example:
      cyberlab rm image greenhouse:2
    """
    with speaking(json) as out:
        out.lab.delete_image(image)
        gone(out, "image", image)


@rm.command("deployment")
def rm_deployment(name: str, json: Json = False) -> None:
    """Stop a deployment on all its devices. Its data stays.

    \b
    Example:
      cyberlab rm deployment greenhouse
    """
    with speaking(json) as out:
        out.lab.stop(name)
        gone(out, "deployment", name)


@rm.command("spec")
def rm_spec(name: str, json: Json = False) -> None:
    """Delete a spec saved in the lab.

    \b
    Example:
      cyberlab rm spec greenhouse
    """
    with speaking(json) as out:
        out.lab.delete_spec(name)
        gone(out, "spec", name)


def gone(out: Out, kind: str, name: str) -> None:
    if out.as_json:
        out.data({"removed": {"kind": kind, "name": name}})
    else:
        out.say(f"The {kind} {name} is gone.")
    sys.stdout.flush()
