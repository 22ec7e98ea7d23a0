"""Every rule a spec must obey, and every problem at once: the form shows them beside its fields, the lab
service refuses what has any. Nothing is allowed unless a rule here allows it.

One function a field, in the order of the fields. Each yields problems with the field's path, a stable code
and a sentence for a student that also says what to do. None of them raises, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cyberlab.spec import names
from cyberlab.spec.custom import custom_problems
from cyberlab.spec.deployment import DeploymentSpec
from cyberlab.spec.files import file_problems, relative
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.libraries import apt_problems, npm_problems, pip_problems
from cyberlab.spec.names import shown
from cyberlab.spec.run import command_of
from cyberlab.wire import Base, Catalogue, Problem

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
ENV_MAX = 64
ENV_VALUE_MAX = 4096
ARGS_MAX = 64
ARG_MAX = 2048
PORTS_MAX = 16
DEVICES_MAX = 1000

_RESERVED_PORTS = frozenset({2375, 2376, 2377, 4789, 7946})
"""The engine's and the swarm's own, on every device."""


def find_problems(spec: ImageSpec, catalogue: Catalogue) -> tuple[Problem, ...]:
    """Everything wrong with `spec`; empty when it may be built."""
    base = catalogue.base(spec.base)
    return (
        *name_problems(spec.name),
        *base_problems(spec.base, catalogue),
        *apt_problems(spec.apt, base),
        *pip_problems(spec.pip, base),
        *npm_problems(spec.npm, base),
        *workdir_problems(spec.workdir),
        *file_problems(spec.files, spec.workdir, catalogue.limits),
        *scenario_problems(spec, base, catalogue),
        *command_problems(spec.command),
        *program_problems(spec, catalogue),
        *env_problems(spec.env),
        *port_problems(spec.ports),
        *hardware_problems(spec.devices, catalogue),
        *platform_problems(spec.platforms, base),
        *custom_problems(spec.custom),
    )


def deployment_problems(spec: DeploymentSpec) -> tuple[Problem, ...]:
    """Everything wrong with the form of `spec`. Whether its image and devices exist, the lab service knows."""
    return (
        *name_problems(spec.name),
        *_image_problems(spec.image),
        *_selection_problems(spec),
        *run_problems(spec.command, spec.env),
    )


def run_problems(command: Sequence[str], env: Mapping[str, str]) -> tuple[Problem, ...]:
    """Everything wrong with what a trial or a deployment adds to an image's own command and environment."""
    return (*command_problems(command), *env_problems(env), *_template_problems(env))


# ---------------------------------------------------------------- one field each
def name_problems(name: str) -> Iterator[Problem]:
    if not names.is_name(name):
        what = f"{shown(name)} cannot be a name." if name else "A name is missing."
        yield Problem(
            path="name",
            code="name-invalid",
            message=f"{what} Use 1 to {names.NAME_MAX} lower-case letters, digits and single hyphens, "
            "starting with a letter, such as greenhouse-2.",
        )


def base_problems(base: str, catalogue: Catalogue) -> Iterator[Problem]:
    if catalogue.base(base) is None:
        yield Problem(
            path="base",
            code="base-unknown",
            message=f"There is no base image {shown(base)}. "
            f"Choose {_one_of(b.name for b in catalogue.bases)}.",
        )


def workdir_problems(workdir: str) -> Iterator[Problem]:
    if not names.is_workdir(workdir):
        yield Problem(
            path="workdir",
            code="workdir-invalid",
            message=f"The program's folder cannot be {shown(workdir)}. "
            "Use /usr/src/app, /home/app or /opt/app, "
            "or a folder inside one of them.",
        )


def scenario_problems(spec: ImageSpec, base: Base | None, catalogue: Catalogue) -> Iterator[Problem]:
    scenario = catalogue.scenario(spec.scenario)
    fitting = [s.name for s in catalogue.scenarios if base is None or base.name in s.bases]
    if scenario is None:
        yield Problem(
            path="scenario",
            code="scenario-unknown",
            message=f"There is no run scenario {shown(spec.scenario)}. Choose {_one_of(fitting)}.",
        )
    elif base is not None and base.name not in scenario.bases:
        yield Problem(
            path="scenario",
            code="scenario-unfit",
            message=f"{scenario.name} does not run on the base image {base.name}. Choose {_one_of(fitting)}.",
        )


def command_problems(command: Sequence[str]) -> Iterator[Problem]:
    if len(command) > ARGS_MAX:
        yield Problem(
            path="command",
            code="command-too-long",
            message=f"The command has more than {ARGS_MAX} words. Put them into a script.",
        )
        return
    if command and not command[0].strip():
        yield Problem(
            path="command[0]",
            code="command-invalid",
            message="The command starts with an empty word. Begin with a program, such as python3.",
        )
    for index, word in enumerate(command):
        if len(word) > ARG_MAX:
            yield Problem(
                path=f"command[{index}]",
                code="command-too-long",
                message=f"A word of the command has more than {ARG_MAX} characters. Put it into a file.",
            )
        elif names.has_invisible(word):
            yield Problem(
                path=f"command[{index}]",
                code="command-invalid",
                message=f"The command holds an invisible character in {shown(word)}, such as a line "
                "break. Put the program into a file.",
            )


def program_problems(spec: ImageSpec, catalogue: Catalogue) -> Iterator[Problem]:
    """The command is there, and the file it names too: better said now than by twenty devices."""
    command = command_of(spec, catalogue)
    if not command:
        if catalogue.scenario(spec.scenario) is not None:
            yield Problem(
                path="command",
                code="command-missing",
                message="This run scenario has no command of its own. "
                "Write the command, such as python3 main.py.",
            )
        return
    if spec.custom.strip() or len(command) < 2 or command[0] not in ("python", "python3", "node"):
        return
    program = command[1]
    if not program.startswith("-") and program not in _placed(spec):
        yield Problem(
            path="files",
            code="program-missing",
            message=f"The command runs {shown(program)}, but there is no such file. "
            "Add the file, or change the command.",
        )


def env_problems(env: Mapping[str, str]) -> Iterator[Problem]:
    if len(env) > ENV_MAX:
        yield Problem(
            path="env",
            code="env-too-many",
            message=f"More than {ENV_MAX} environment variables. Put the settings into a file.",
        )
        return
    for name, value in env.items():
        found = _env_problem(name, value)
        if found:
            yield Problem(path=f"env.{name}", code=found[0], message=found[1])


def port_problems(ports: Sequence[int]) -> Iterator[Problem]:
    if len(ports) > PORTS_MAX:
        yield Problem(
            path="ports",
            code="ports-too-many",
            message=f"More than {PORTS_MAX} ports. Keep those the program really needs.",
        )
        return
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        if not 1024 <= port <= 65535:
            yield Problem(
                path=path,
                code="port-invalid",
                message=f"Port {str(port)[:20]} cannot be used. Choose one from 1024 to 65535, such as 8080.",
            )
        elif port in _RESERVED_PORTS:
            yield Problem(
                path=path,
                code="port-reserved",
                message=f"Port {port} belongs to the devices themselves. Choose another, such as 8080.",
            )
        elif port in ports[:index]:
            yield Problem(
                path=path, code="port-duplicate", message=f"Port {port} is listed twice. Remove one."
            )


def hardware_problems(profiles: Sequence[str], catalogue: Catalogue) -> Iterator[Problem]:
    for index, profile in enumerate(profiles):
        if profile not in catalogue.device_profiles:
            known = catalogue.device_profiles
            advice = (
                f"Choose {_one_of(known)}."
                if known
                else "This lab offers no hardware profile yet: leave the field empty."
            )
            yield Problem(
                path=f"devices[{index}]",
                code="device-profile-unknown",
                message=f"There is no hardware profile {shown(profile)}. {advice}",
            )


def platform_problems(platforms: Sequence[str], base: Base | None) -> Iterator[Problem]:
    for index, platform in enumerate(platforms):
        path = f"platforms[{index}]"
        if platform not in PLATFORMS:
            yield Problem(
                path=path,
                code="platform-unknown",
                message=f"There is no platform {shown(platform)}. Choose {_one_of(PLATFORMS)}.",
            )
        elif base and base.platforms and platform not in base.platforms:
            yield Problem(
                path=path,
                code="platform-unfit",
                message=f"The base image {base.name} does not exist for {platform}. "
                f"Choose {_one_of(base.platforms)}, or leave the field empty.",
            )


# ---------------------------------------------------------------- of deployments
def _image_problems(image: str) -> Iterator[Problem]:
    if not names.is_image_ref(image):
        yield Problem(
            path="image",
            code="image-invalid",
            message=f"{shown(image)} is not one of your images. "
            "Write its name, such as greenhouse, or name and version, such as greenhouse:2.",
        )


def _selection_problems(spec: DeploymentSpec) -> Iterator[Problem]:
    if not spec.devices and spec.cluster is None:
        yield Problem(
            path="devices",
            code="devices-empty",
            message="No device is chosen. Choose at least one device, or a cluster.",
        )
    if len(spec.devices) > DEVICES_MAX:
        yield Problem(
            path="devices",
            code="devices-too-many",
            message=f"More than {DEVICES_MAX} devices. Choose a cluster instead.",
        )
        return
    for index, device in enumerate(spec.devices):
        path = f"devices[{index}]"
        if not names.is_device_name(device):
            yield Problem(
                path=path,
                code="device-unknown",
                message=f"{shown(device)} is not the name of a device. Choose one from the list of devices.",
            )
        elif device in spec.devices[:index]:
            yield Problem(
                path=path, code="device-duplicate", message=f"{device} is chosen twice. Remove one."
            )
    if spec.cluster is not None and not names.is_device_name(spec.cluster):
        yield Problem(
            path="cluster",
            code="cluster-unknown",
            message=f"{shown(spec.cluster)} is not the name of a cluster. Choose one from the list.",
        )


def _template_problems(env: Mapping[str, str]) -> Iterator[Problem]:
    """The swarm would expand ``{{...}}`` in a service's environment."""
    for name, value in env.items():
        if "{{" in value:
            yield Problem(
                path=f"env.{name}",
                code="env-value-invalid",
                message=f"The value of {shown(name)} holds '{{{{'. Remove it, or put the value into a file.",
            )


# ---------------------------------------------------------------- shared
def _env_problem(name: str, value: str) -> tuple[str, str] | None:
    if not names.is_env_name(name):
        return (
            "env-name-invalid",
            f"{shown(name)} cannot be the name of an environment variable. "
            "Use letters, digits and _, such as INTERVAL.",
        )
    if names.is_reserved_env(name):
        return "env-name-reserved", f"{name} is set by the lab. Choose another name, such as MY_{name}."
    if len(value) > ENV_VALUE_MAX:
        return (
            "env-value-too-long",
            f"The value of {name} has more than {ENV_VALUE_MAX} characters. Put it into a file.",
        )
    if names.has_invisible(value):
        return (
            "env-value-invalid",
            f"The value of {name} holds an invisible character, such as a line break. Put it into a file.",
        )
    return None


def _placed(spec: ImageSpec) -> set[str]:
    """Every way in which the command may name one of the files."""
    placed: set[str] = set()
    for entry in spec.files:
        try:
            inside = relative(entry.path, spec.workdir)
        except ValueError:
            continue  # reported beside the file itself
        placed |= {inside, f"./{inside}", f"{spec.workdir}/{inside}"}
    return placed


def _one_of(words: Iterator[str] | Sequence[str]) -> str:
    listed = list(words)
    return f"{', '.join(listed[:-1])} or {listed[-1]}" if len(listed) > 1 else "".join(listed) or "another"
