"""What is allowed: the one place that says so. Nothing is, unless a rule here says it is.

Functions return what may be used, or raise with a sentence for the student. They look nothing up: callers bring the
catalogue, the devices, what is in use.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cyberlab.spec import DeploymentSpec, ImageSpec, names
from cyberlab.spec.problems import deployment_problems, find_problems
from cyberlab.spec.run import run_problems
from cyberlab.wire import Catalogue, Device, Problem, QuotaUse

from cyberlab_hub.errors import NotAllowed, NotFound, OverQuota, SpecRefused
from cyberlab_hub.service.quota_table import QUOTAS

EVERY = {
    "1m": 60, "5m": 300, "10m": 600, "15m": 900, "30m": 1800, "1h": 3600, "3h": 10_800, "6h": 21_600, "12h": 43_200,
    "1d": 86_400,
}  # fmt: skip
"""Windows of means, in seconds. Each divides the day, so that a piece of work of a day never cuts one in two."""

ORIGINS = {
    "default": "the lab's default",
    "group": "for the group “{group}”",
    "own": "set for you by an administrator",
}


@dataclass(frozen=True)
class Allowance:
    """How much of a quota an owner has, and whence."""

    quota: str
    value: int
    origin: Literal["default", "group", "own"] = "default"
    group: str = ""

    def view(self, in_use: float | None = None) -> QuotaUse:
        rule = QUOTAS[self.quota]
        return QuotaUse(
            quota=self.quota,
            title=rule.title,
            value=self.value,
            unit=rule.unit,
            in_use=in_use,
            origin=self.origin,
            group=self.group,
        )

    @property
    def whence(self) -> str:
        return ORIGINS[self.origin].format(group=self.group)


def default(quota: str) -> Allowance:
    return Allowance(quota, QUOTAS[quota].limit)


def allowance(quota: str, own: int | None, groups: Mapping[str, int]) -> Allowance:
    """The user's own value; else the largest of the user's groups; else the default."""
    if own is not None:
        return Allowance(quota, own, "own")
    if groups:
        group = max(sorted(groups), key=groups.__getitem__)
        return Allowance(quota, groups[group], "group", group)
    return default(quota)


def known_quota(quota: str) -> str:
    """Raises:
    NotFound: ``quota-unknown``, naming those there are.
    """
    if quota not in QUOTAS:
        raise NotFound(
            "quota-unknown", f"There is no quota {names.shown(quota)}. There are: {', '.join(QUOTAS)}."
        )
    return quota


def within(allowed: Allowance, in_use: float, more: float = 1) -> None:
    """Whether `more` may be added to what is in use.

    Raises:
        OverQuota: ``quota-NAME``; names the quota, its value and whence, and what is in use.
    """
    if in_use + more <= allowed.value:
        return
    rule = QUOTAS[allowed.quota]
    unit = f" {rule.unit}" if rule.unit else ""
    raise OverQuota(
        f"quota-{allowed.quota}",
        f"You have {_plain(in_use)}{unit} {rule.what} already, and {allowed.value}{unit} are possible "
        f"({allowed.whence}). {rule.advice}",
        allowed.view(in_use),
    )


def kept(allowed: Allowance, days: int | None) -> None:
    """Whether something may be kept for so long (None: as long as is possible).

    Raises:
        OverQuota: ``quota-days``, ``quota-mean_days``.
    """
    if days is None or days <= allowed.value:
        return
    rule = QUOTAS[allowed.quota]
    what = "Means" if allowed.quota == "mean_days" else "Readings"
    raise OverQuota(
        f"quota-{allowed.quota}",
        f"{what} can be kept for at most {allowed.value} days ({allowed.whence}). {rule.advice}",
        allowed.view(days),
    )


def room(allowed: Allowance, stored_bytes: int) -> None:
    """Whether there is room for an image. One may take its owner over the line; then there is none for another.

    Raises:
        OverQuota: ``quota-gigabytes``.
    """
    within(allowed, stored_bytes / 1e9, more=1e-9)


def _plain(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def devices_within(allowed: Allowance, occupied: Collection[str], wanted: Collection[str]) -> None:
    """Whether a deployment on `wanted` may be added to those that occupy `occupied`.

    Raises:
        OverQuota: ``quota-devices``.
    """
    added = set(wanted) - set(occupied)
    together = len(occupied) + len(added)
    if not added or together <= allowed.value:
        return
    rule = QUOTAS[allowed.quota]
    raise OverQuota(
        f"quota-{allowed.quota}",
        f"Your deployments would be on {together} devices: {len(occupied)} now and {len(added)} more. "
        f"{allowed.value} are possible ({allowed.whence}). {rule.advice}",
        allowed.view(len(occupied)),
    )


def too_fast(allowed: Allowance, seconds: float) -> OverQuota:
    """The refusal of a batch of readings; the same batch may come again after `seconds`."""
    return OverQuota(
        f"quota-{allowed.quota}",
        f"More readings a second came from you than the {allowed.value} that are possible ({allowed.whence}). "
        f"Devices keep theirs and send them by themselves later; anything else may send these again in "
        f"{math.ceil(seconds)} s. {QUOTAS[allowed.quota].advice}",
        allowed.view(),
        retry_after=seconds,
    )


def no_space(allowed: Allowance, used_bytes: int, seconds: float) -> OverQuota:
    """The refusal of a batch of readings for which there is no space left; it may come again after `seconds`."""
    return OverQuota(
        f"quota-{allowed.quota}",
        f"Your readings take up {_plain(used_bytes / 1e9)} GB, and {allowed.value} GB are possible "
        f"({allowed.whence}): no more are taken. Devices keep theirs as long as they have room, and send them by "
        f"themselves when there is space again. {QUOTAS[allowed.quota].advice}",
        allowed.view(round(used_bytes / 1e9, 3)),
        retry_after=seconds,
    )


RESERVED_OWNERS = frozenset({"cyberlab", "fleet", "lab", "mine", "notebook", "shared", "system"})
"""Words with a meaning of their own where an owner's name stands."""


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
