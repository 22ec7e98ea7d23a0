"""Every rule a spec must obey, and every problem at once: the form shows them beside its fields, the lab
service refuses what has any. Nothing is allowed unless a rule here allows it.

One function a field, in the order of the fields. Each yields problems with the field's path, a stable code
and a sentence for a student that also says what to do. None of them raises, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cyberlab.spec import names
from cyberlab.spec.custom import custom_problems
from cyberlab.spec.deployment import DeploymentSpec
from cyberlab.spec.files import file_problems
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.libraries import apt_problems, npm_problems, pip_problems
from cyberlab.spec.names import shown
from cyberlab.spec.run import command_problems, env_problems, port_problems, program_problems, run_problems
from cyberlab.wire import Base, Catalogue, Problem

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
DEVICES_MAX = 1000
CHOICES_MAX = 16
"""Hardware profiles, platforms: more than any lab has."""


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


def hardware_problems(profiles: Sequence[str], catalogue: Catalogue) -> Iterator[Problem]:
    if len(profiles) > CHOICES_MAX:
        yield _too_many("devices", "hardware profiles")
        return
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
    if len(platforms) > CHOICES_MAX:
        yield _too_many("platforms", "platforms")
        return
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


# ---------------------------------------------------------------- shared
def _too_many(path: str, what: str) -> Problem:
    message = f"More than {CHOICES_MAX} {what}. Keep those the program really needs."
    return Problem(path=path, code=f"{path}-too-many", message=message)


def _one_of(words: Iterator[str] | Sequence[str]) -> str:
    listed = list(words)
    return f"{', '.join(listed[:-1])} or {listed[-1]}" if len(listed) > 1 else "".join(listed) or "another"
