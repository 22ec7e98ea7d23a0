"""What is allowed: the one place that says so. Nothing is, unless a rule here says it is.

Functions return what may be used, or raise with a sentence for the student. They look nothing up: callers bring the
catalogue, the devices, what is in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cyberlab.spec import DeploymentSpec, ImageSpec, names
from cyberlab.spec.problems import deployment_problems, find_problems
from cyberlab.spec.run import run_problems
from cyberlab.wire import Catalogue, Device, Problem

from cyberlab_hub.errors import NotAllowed, OverQuota, SpecRefused


@dataclass(frozen=True)
class Quota:
    limit: int
    what: str
    """As in “You have 2 ... already”."""
    advice: str


QUOTAS: Mapping[str, Quota] = {
    "builds": Quota(2, "builds waiting or running", "Wait until one has ended, or cancel it."),
    "trials": Quota(2, "trials waiting or running", "Wait until one has ended, or stop it."),
    "deploys": Quota(5, "deployments being started", "Wait until one has ended, or cancel it."),
    "deployments": Quota(10, "deployments", "Stop one that you do not need any more."),
    "images": Quota(50, "images", "Delete one that you do not need any more."),
    "specs": Quota(200, "saved forms", "Delete one that you do not need any more."),
    "streams": Quota(20, "logs open", "Close one."),
}
"""For each user. `builds`, `trials`, `deploys` and `streams` count what is going on at once."""

RESERVED_OWNERS = frozenset({"cyberlab", "fleet", "lab", "mine", "notebook", "shared", "system"})
"""Words with a meaning of their own where an owner's name stands."""


def within(quota: str, in_use: int, owner_has: str = "You have") -> None:
    """Raises:
    OverQuota: ``quota-NAME``, when one more would be too many.
    """
    rule = QUOTAS[quota]
    if in_use >= rule.limit:
        raise OverQuota(
            f"quota-{quota}",
            f"{owner_has} {in_use} {rule.what} already, and {rule.limit} are possible. {rule.advice}",
        )


def owner_allowed(name: str) -> None:
    """Whether a name may own things: it becomes part of image names and labels.

    Raises:
        NotAllowed: ``name-unusable``.
    """
    if not names.is_name(name) or name in RESERVED_OWNERS:
        raise NotAllowed(
            "name-unusable",
            f"An account named {names.shown(name)} cannot own images or data in this lab. Ask the operator for an "
            "account whose name is made of lower-case letters, digits and hyphens.",
        )


# ---------------------------------------------------------------- what may be built
def buildable(spec: ImageSpec, catalogue: Catalogue) -> ImageSpec:
    """Raises:
    SpecRefused: ``spec-refused``, with every problem.
    """
    _refuse(find_problems(spec, catalogue), "This cannot be built yet")
    return spec


def _refuse(found: Sequence[Problem], what: str) -> None:
    if not found:
        return
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise SpecRefused("spec-refused", f"{what}: {found[0].message}{more}", tuple(found))


# ---------------------------------------------------------------- what may be run
def own_reference(owner: str, image: str) -> tuple[str, int | None]:
    """``name``, ``name:version`` or ``owner/name:version`` of one's own -> name, version (None: the newest).

    Raises:
        SpecRefused: ``spec-refused``; the form is wrong, or it is another user's.
    """
    short = image.removeprefix(f"{owner}/")
    if not names.is_image_ref(short):
        message = (
            f"{names.shown(image)} is not one of your images. Write its name, such as greenhouse, or name and version, "
            "such as greenhouse:2."
        )
        _refuse((Problem(path="image", code="image-invalid", message=message),), "This cannot be run")
    name, _, version = short.partition(":")
    return name, int(version) if version else None


def runnable(command: Sequence[str], env: Mapping[str, str]) -> None:
    """What a trial adds to its image.

    Raises:
        SpecRefused: ``spec-refused``, with every problem.
    """
    _refuse(run_problems(command, env), "This cannot be run")


def deployable(owner: str, spec: DeploymentSpec, devices: Iterable[Device]) -> tuple[Device, ...]:
    """The devices a deployment goes to, in the order of their names.

    Raises:
        SpecRefused: ``spec-refused``, with every problem of the form and of the selection.
    """
    plain = spec.model_copy(update={"image": spec.image.removeprefix(f"{owner}/")})
    found = list(deployment_problems(plain))
    wrong = {problem.path for problem in found}
    known = {device.name: device for device in devices}
    chosen: dict[str, Device] = {}
    for index, name in enumerate(spec.devices):
        if f"devices[{index}]" not in wrong and "devices" not in wrong:
            found += _device_problems(f"devices[{index}]", name, known.get(name))
            chosen |= {name: known[name]} if name in known else {}
    if spec.cluster is not None and "cluster" not in wrong:
        members = {device.name: device for device in known.values() if device.cluster == spec.cluster}
        found += _cluster_problems(spec.cluster, members)
        chosen |= members
    _refuse(found, "This cannot be deployed")
    return tuple(chosen[name] for name in sorted(chosen))


NOT_READY = {"away": "does not answer: it is off or cut off", "paused": "takes no new work at the moment"}


def _device_problems(path: str, name: str, device: Device | None) -> list[Problem]:
    if device is None:
        message = f"There is no device named {name}. Choose one from the list of devices."
        return [Problem(path=path, code="device-unknown", message=message)]
    if device.state == "ready":
        return []
    message = f"{name} {NOT_READY[device.state]}. Choose another device, or try again later."
    return [Problem(path=path, code=f"device-{device.state}", message=message)]


def _cluster_problems(cluster: str, members: Mapping[str, Device]) -> list[Problem]:
    if not members:
        message = f"No device belongs to a cluster named {cluster}. Choose one from the list of devices."
        return [Problem(path="cluster", code="cluster-unknown", message=message)]
    unready = [device for device in members.values() if device.state != "ready"]
    return [
        Problem(
            path="cluster",
            code=f"device-{device.state}",
            message=f"{device.name} of this cluster {NOT_READY[device.state]}. Choose the other devices one by one.",
        )
        for device in unready
    ]
