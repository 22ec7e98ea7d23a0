"""Users' images: from an order to a digest in the registry.

Of each ``owner/name`` the newest version also stays on the workshop engine, so that a trial starts at once and the next
build finds its layers; older ones live in the registry only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cyberlab.wire import Phase

from cyberlab_hub.errors import Cancelled, Conflict, HubError, NotFound, PartDown, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import limits, words
from cyberlab_hub.workshop.builder import Builder
from cyberlab_hub.workshop.clock import StopClock
from cyberlab_hub.workshop.context import context_tar, labelled
from cyberlab_hub.workshop.engine import Engine, filters, registry_auth
from cyberlab_hub.workshop.orders import BuildOrder, BuiltImage, Progress
from cyberlab_hub.workshop.registry import LAB_ACCOUNT, LAB_SECRET, Registry

KEEP_CACHE = "168h"


class Images:
    def __init__(self, engine: Engine, builder: Builder, registry: Registry, settings: Settings) -> None:
        self._engine = engine
        self._builder = builder
        self._registry = registry
        self._settings = settings

    def build(self, order: BuildOrder, progress: Progress) -> BuiltImage:
        """Check the base, build, check the result, push. See `Workshop.build`."""
        progress.phase(Phase.PREPARING)
        platform, base_bytes = self._platform(order)
        context = context_tar(labelled(order.dockerfile, dict(order.labels)), order.files)
        _check_from(order)
        if progress.cancelled:
            raise Cancelled("cancelled", "You stopped this build.")
        progress.phase(Phase.BUILDING)
        repository = f"{self._settings.registry}/{order.owner}/{order.name}"
        tag = f"{repository}:{order.version}"
        built = self._builder.run(tag, context, progress, platform)
        _check_platform(built.image, order)
        size = int(built.image["Size"])
        usage = built.usage.model_copy(
            update={"image_mb": _mb(size), "layers_mb": _mb(max(0, size - base_bytes))}
        )
        progress.log(usage.sentence)
        progress.phase(Phase.PUSHING)
        digest = self.push(repository, str(order.version), progress)
        self._forget_older(repository, keep=tag)
        return BuiltImage(digest=digest, size_bytes=size, usage=usage)

    def ensure_local(self, repository: str, digest: str) -> str:
        """Fetch the image to the workshop engine unless it is there; return the reference to run.

        Raises:
            WorkFailed: ``image-missing``: the registry has it no more.
        """
        reference = f"{self._settings.registry}/{repository}@{digest}"
        if self._engine.exists(f"/images/{reference}/json"):
            return reference
        params = {"fromImage": f"{self._settings.registry}/{repository}", "tag": digest}
        try:
            with (
                self._engine.stream("POST", "/images/create", params=params, headers=self._auth()) as stream,
                StopClock(stream.close, limits.PUSH_SECONDS),
            ):
                said = _last_error(stream.messages())
        except NotFound as error:
            raise _missing(repository) from error
        if said and re.search(r"manifest unknown|not found", said):
            raise _missing(repository)
        if said:
            raise _transfer_failed("fetch the image from", said)
        return reference

    def delete(self, repository: str, digest: str) -> None:
        """Remove the image from the registry and from the workshop engine. One that is gone already is no error."""
        self._registry.delete(repository, digest)
        mine = f"{self._settings.registry}/{repository}"
        try:
            local = self._engine.call("GET", f"/images/{mine}@{digest}/json")
        except NotFound:
            return
        for name in [*(local.get("RepoTags") or ()), *(local.get("RepoDigests") or ())]:
            if name.startswith((f"{mine}:", f"{mine}@")):
                self._untag(name)

    def sweep(self) -> None:
        """Drop layers that no image has used for a week."""
        self._engine.call(
            "POST", "/images/prune", params=filters(dangling="true", until=KEEP_CACHE), seconds=120
        )

    # ------------------------------------------------------------ checks
    def _platform(self, order: BuildOrder) -> tuple[str, int]:
        """The one platform to build for ("" when the order leaves it to the engine), and the bytes of the base.

        Raises:
            WorkFailed: ``base-missing``, or ``platform-unsupported``: the base is not of that platform.
        """
        try:
            base = self._engine.call("GET", f"/images/{order.base_image}/json")
        except NotFound as error:
            raise WorkFailed(
                "base-missing",
                f"The base image {order.base_image} is not built yet. Try again in a few minutes.",
            ) from error
        has = platform_of(base)
        if order.platforms and set(order.platforms) != {has}:
            raise WorkFailed(
                "platform-unsupported",
                f"This lab's base image is {has} and cannot become {', '.join(order.platforms)}.",
            )
        return has if order.platforms else "", int(base["Size"])

    # ------------------------------------------------------------ registry
    def _auth(self) -> dict[str, str]:
        return registry_auth(LAB_ACCOUNT, self._settings.secret(LAB_SECRET), self._settings.registry)

    def push(self, repository: str, tag: str, progress: Progress) -> str:
        """Push what the engine calls ``repository:tag``; return the manifest digest.

        Raises:
            Cancelled: the user stopped it. PartDown: ``registry-down``. WorkFailed: ``disk-full``.
        """
        digest = ""
        with (
            self._engine.stream(
                "POST", f"/images/{repository}/push", params={"tag": tag}, headers=self._auth()
            ) as stream,
            StopClock(stream.close, limits.PUSH_SECONDS) as clock,
        ):
            progress.on_cancel(clock.cancel)
            for message in stream.messages():
                if "error" in message:
                    raise _transfer_failed("push the image to", str(message["error"]))
                digest = (message.get("aux") or {}).get("Digest", digest)
        if clock.reason == "cancelled":
            raise Cancelled("cancelled", "You stopped this build.")
        if clock.reason == "time" or not digest:
            raise PartDown(
                "registry-down", "The registry took too long to accept the image. Try again in a minute."
            )
        return digest

    def _forget_older(self, repository: str, keep: str) -> None:
        for image in self._engine.call("GET", "/images/json", params=filters(reference=repository)):
            for tag in image.get("RepoTags") or ():
                if tag != keep:
                    self._untag(tag)

    def _untag(self, reference: str) -> None:
        """Drop a name; keep the layers beneath (noprune), they are the cache of the next build."""
        try:
            self._engine.call("DELETE", f"/images/{reference}", params={"noprune": 1})
        except (NotFound, Conflict):
            # gone already, or a trial runs from it: then it is dropped at the next build
            return


def _mb(size: int) -> float:
    return round(size / 1e6, 1)


def platform_of(image: Mapping[str, Any]) -> str:
    """``linux/amd64`` of what the engine says about an image."""
    return f"{image['Os']}/{image['Architecture']}"


def _check_platform(image: Mapping[str, Any], order: BuildOrder) -> None:
    """The classic builder takes a base of another architecture without a word."""
    if order.platforms and platform_of(image) not in order.platforms:
        raise WorkFailed(
            "platform-unsupported",
            f"The image became {platform_of(image)}, not {', '.join(order.platforms)}.",
        )


def _check_from(order: BuildOrder) -> None:
    """FROM reaches every image of the engine, other users' too: exactly the ordered base is allowed."""
    named = re.findall(r"^\s*FROM\b\s*(.*?)\s*$", order.dockerfile, re.MULTILINE | re.IGNORECASE)
    if named != [order.base_image] or re.search(r"--from\b", order.dockerfile, re.IGNORECASE):
        raise WorkFailed(
            "dockerfile-refused", f"A build starts from {order.base_image} and from nothing else."
        )


def _last_error(messages: Any) -> str:
    said = ""
    for message in messages:
        said = str(message.get("error", said))
    return said


def _missing(repository: str) -> WorkFailed:
    return WorkFailed(
        "image-missing", f"The image {repository} is not in the registry any more. Build it again."
    )


def _transfer_failed(what: str, said: str) -> HubError:
    if words.NO_SPACE in said.lower():
        return WorkFailed("disk-full", words.engine_refusal(said))
    return PartDown(
        "registry-down",
        f"The workshop engine could not {what} the registry ({said[:200]}). Tell the operator.",
    )
