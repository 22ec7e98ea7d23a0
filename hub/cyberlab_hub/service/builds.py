"""Builds: from a spec to an image. The client sends a spec; the Dockerfile is rendered here, from the checked spec, and
read back by several readers before the engine sees it (`proof`)."""

from __future__ import annotations

from contextlib import suppress

from cyberlab.spec import ImageSpec
from cyberlab.spec.digest import spec_digest
from cyberlab.spec.files import context_files
from cyberlab.wire import Base, BuildUsage, Catalogue, Job, JobKind, Phase

from cyberlab_hub.errors import PartDown
from cyberlab_hub.service import policy
from cyberlab_hub.service.catalogue import CatalogueShelf
from cyberlab_hub.service.history import History
from cyberlab_hub.service.images import Images, reference
from cyberlab_hub.service.jobs import Jobs
from cyberlab_hub.service.line import Outcome
from cyberlab_hub.service.models import ImageRow
from cyberlab_hub.service.progress import JobProgress
from cyberlab_hub.service.proof import proven
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.workshop.orders import BaseState, BuildOrder, Workshop


class Builds:
    def __init__(
        self,
        jobs: Jobs,
        images: Images,
        catalogue: CatalogueShelf,
        workshop: Workshop,
        quotas: Quotas,
        history: History,
    ) -> None:
        self._history = history
        self._jobs = jobs
        self._quotas = quotas
        self._images = images
        self._catalogue = catalogue
        self._workshop = workshop

    def start(self, owner: str, spec: ImageSpec) -> Job:
        """Queue a build; or, when this very image is there already, a job that has ended.

        Raises:
            SpecRefused: with every problem. OverQuota: ``quota-builds``, ``quota-images``,
            ``quota-gigabytes``. WorkFailed: ``dockerfile-refused``.
        """
        catalogue = self._catalogue.plain()
        policy.buildable(spec, catalogue)
        proven(spec, catalogue)  # again in the job: the catalogue may change until then
        same = self._built_before(owner, spec, catalogue)
        if same is not None:
            text = f"Nothing has changed since {reference(same)}: it is used again"
            return self._jobs.record_done(JobKind.BUILD, owner, spec.name, _result(same, reused=True), text)
        allowed = self._quotas.all_of(owner)
        with suppress(PartDown):  # the job will say it, in its log
            self._room(owner, allowed["gigabytes"])
        with self._quotas.admission(owner):
            # first those under way, then those there: one that ends in between is counted twice, never not at all
            under_way = len(self._jobs.live(owner, JobKind.BUILD))
            policy.within(allowed["builds"], under_way)
            policy.within(allowed["images"], self._images.count(owner) + under_way)
            return self._jobs.submit(
                JobKind.BUILD,
                owner,
                spec.name,
                lambda progress: self._build(owner, spec, progress),
                lane=f"image {spec.name}",
            )

    def _room(self, owner: str, allowed: policy.Allowance) -> None:
        policy.room(allowed, self._workshop.stored_bytes(owner))

    def _built_before(self, owner: str, spec: ImageSpec, catalogue: Catalogue) -> ImageRow | None:
        base = self._catalogue.base(spec.base)
        try:
            state = self._catalogue.state(base)
        except PartDown:
            return None  # the job will say it, in its log
        if not state.ready:
            return None
        return self._images.same(owner, spec.name, spec_digest(spec, catalogue, state.digest))

    def _build(self, owner: str, spec: ImageSpec, progress: JobProgress) -> Outcome:
        catalogue = self._catalogue.plain()
        base = self._catalogue.base(spec.base)
        state = self._ready_base(base, progress)
        identity = spec_digest(spec, catalogue, state.digest)
        same = self._images.same(owner, spec.name, identity)
        if same is not None:  # its twin was queued before it
            return Outcome(_result(same, reused=True))
        # it may have been filled since this was queued
        self._room(owner, self._quotas.of(owner, "gigabytes"))
        version = self._images.next_version(owner, spec.name)
        order = BuildOrder(
            job=progress.job,
            owner=owner,
            name=spec.name,
            version=version,
            dockerfile=proven(spec, catalogue),
            files=tuple(context_files(spec)),
            base_image=base.image,
            platforms=spec.platforms,
        )
        built = self._workshop.build(order, progress)
        row = self._images.add(owner, spec, version, identity, built)
        self._history.keep_source(row, spec, order.dockerfile, catalogue)
        return Outcome(_result(row, False, built.usage))

    def _ready_base(self, base: Base, progress: JobProgress) -> BaseState:
        state = self._catalogue.state(base, fresh=True)
        if state.ready:
            return state
        about = (
            f"about {base.build_seconds} s"
            if base.build_seconds < 120
            else f"about {base.build_seconds // 60} min"
        )
        progress.phase(
            Phase.PREPARING,
            f"The base image “{base.title}” is built first; that happens once and takes {about}",
        )
        self._workshop.prepare_base(base.name, progress)
        return self._catalogue.state(base, fresh=True)


def _result(row: ImageRow, reused: bool, usage: BuildUsage | None = None) -> dict[str, object]:
    used = {"usage": usage.model_dump(mode="json")} if usage else {}
    return {"image": reference(row), "digest": row.digest, "reused": reused, **used}
