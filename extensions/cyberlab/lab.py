"""`Lab`: everything the lab can do for a user, as one object.

    lab = Lab()                                      # inside JupyterLab nothing else is needed
    image = lab.build(spec)                          # shows its progress, gives an Image
    lab.run(image)                                   # try it out, see its log
    lab.deploy(image, devices=["pi01", "pi02"])
    lab.read("temperature", start="-10m")            # a DataFrame indexed by time

Each call is one request; what takes time is a job of the lab. `build`, `run` and `deploy` watch theirs to the
end; the `start_` forms give a `JobHandle` at once. Errors are those of `cyberlab.errors`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from cyberlab import sse
from cyberlab.data import names
from cyberlab.errors import NotFound, PartDown, SpecRefused, Unreachable, from_answer, refused
from cyberlab.jobs import JobHandle
from cyberlab.spec.deployment import DeploymentSpec
from cyberlab.spec.image import ImageSpec
from cyberlab.tables import Table, show_single_views
from cyberlab.things import Things
from cyberlab.transport import Transport, decoded, path_of, settings
from cyberlab.wire import (
    Advice,
    BuildRequest,
    Catalogue,
    Deployment,
    Device,
    ErrorInfo,
    ExecRequest,
    ExecResult,
    Health,
    Image,
    Job,
    JobKind,
    LogLine,
    Me,
    PartHealth,
    Problem,
    QuotaUse,
    SavedSpec,
    SpecAdvice,
    TrialRequest,
    Unpacked,
)

if TYPE_CHECKING:
    from cyberlab.widgets import ImageForm

__all__ = ["JobHandle", "Lab"]

_DASHBOARDS = "dashboards"
"""Folder of the Voila dashboards in a user's home."""


class Lab(Things):
    """The lab, as the user whose token it is. `url` and `token` default to what JupyterLab was given."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        """
        Raises:
            Unreachable: no URL is known, or it is none. NotSignedIn: no token is known.
        """
        super().__init__(Transport(*settings(url, token)))
        # the name in the environment belongs to the environment's token, not to one given by hand
        self._user = os.environ.get("JUPYTERHUB_USER", "") if token is None else ""
        show_single_views()

    def __repr__(self) -> str:
        return f"Lab({self.url!r})"

    @property
    def url(self) -> str:
        return self._transport.url

    @property
    def user(self) -> str:
        """Whose lab this is: the name that images and data belong to. Asked once."""
        self._user = self._user or self._transport.get("/me", Me).name
        return self._user

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; only a long-lived program with many `Lab` objects needs it."""
        self._transport.close()

    def health(self) -> tuple[PartHealth, ...]:
        """Each part of the lab, and whether it works."""
        return self._transport.get("/health", Health).parts

    # ------------------------------------------------------------ specs
    def catalogue(self) -> Catalogue:
        """The base images, libraries and run scenarios that a spec may name."""
        return self._transport.get("/catalogue", Catalogue)

    def problems(self, spec: ImageSpec) -> tuple[Problem, ...]:
        """Everything that is wrong with the spec, without building it. Empty: it will be accepted."""
        from cyberlab.spec.problems import find_problems  # kept out of the start of the command line

        return find_problems(spec, self.catalogue())

    def advice(self, spec: ImageSpec) -> Table[Advice]:
        """What in the spec's Dockerfile works and could be better. Nothing of it stops a build.

        Raises:
            PartDown: ``advice-unavailable``: this lab has no hadolint.
        """
        slim = tuple(entry.model_copy(update={"text": "", "data": None}) for entry in spec.files[:1])
        asked = _json(spec.model_copy(update={"files": slim}))  # files are never part of the text
        answer = self._transport.post("/specs/advice", SpecAdvice, asked)
        if not answer.available:
            raise PartDown(
                "advice-unavailable", "This lab gives no advice about Dockerfiles: it has no hadolint."
            )
        return Table(Advice, answer.advice)

    def unpack(self, packed: bytes, *, without_top: bool = False) -> Unpacked:
        """The files of an archive (zip, tar, tar.gz, tar.xz, tar.bz2), for `ImageSpec.files`.

        Args:
            without_top: when everything lies in one folder, leave that folder out of the paths.

        Raises:
            SpecRefused: with the archive's problem.
        """
        from cyberlab.spec.archives import ArchiveRefused, unpack  # the same that the lab would do

        try:
            return unpack((packed,), without_top=without_top)
        except ArchiveRefused as error:
            problem = Problem(path="files", code=error.code, message=error.message)
            raise SpecRefused(error.code, "The archive cannot be used.", [problem]) from error

    def specs(self) -> Table[SavedSpec]:
        return self._table(SavedSpec, "/specs")

    def spec(self, name: str) -> ImageSpec:
        """A saved spec. Raises NotFound."""
        return self._transport.get(path_of("specs", name), SavedSpec).spec

    def save_spec(self, spec: ImageSpec, *, replace: bool = False) -> SavedSpec:
        """Keep the spec in the lab, under its name.

        Raises:
            NameTaken: another spec has the name, and not `replace`.
        """
        params = {"replace": "true" if replace else "false"}
        return self._transport.put(path_of("specs", spec.name), SavedSpec, _json(spec), params)

    def delete_spec(self, name: str) -> None:
        self._transport.delete(path_of("specs", name))

    # ------------------------------------------------------------ build, try, deploy
    def start_build(self, spec: ImageSpec) -> JobHandle:
        """Ask for an image.

        Raises:
            SpecRefused: with every problem of the spec.
        """
        return self._start("/builds", BuildRequest(spec=spec))

    def start_trial(
        self,
        image: Image | str,
        *,
        seconds: int = 60,
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> JobHandle:
        """Run the image once in the workshop, for at most `seconds`. `command`: argv instead of its own."""
        wish = _made(
            TrialRequest, image=self._ref(image), seconds=seconds, command=tuple(command), env=dict(env or {})
        )
        return self._start("/trials", wish)

    def start_deploy(
        self,
        image: Image | str,
        *,
        name: str | None = None,
        devices: Iterable[Device | str] | str = (),
        cluster: str | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> JobHandle:
        """Run the image on devices until it is stopped. `name` is the image's if you give none; a deployment
        of that name is updated in place.

        Raises:
            SpecRefused: a device is unknown or away, or none was chosen. NotFound: no such image.
        """
        ref = self._ref(image)
        wish = _made(
            DeploymentSpec,
            name=name or ref.partition(":")[0],
            image=ref,
            devices=names(devices),
            cluster=cluster,
            env=dict(env or {}),
            command=tuple(command),
        )
        return self._start("/deployments", wish)

    def build(self, spec: ImageSpec, *, show: bool = True, timeout: float | None = None) -> Image:
        """Build an image and wait for it. An unchanged spec gives the image from before at once.

        Ctrl-C stops the watching, not the build.

        Raises:
            SpecRefused: with every problem of the spec. JobFailed: says what went wrong in which line.
        """
        job = self._watch(self.start_build(spec), show, timeout)
        ref = job.result.get("image")
        image = next((one for one in self.images() if one.ref == ref), None)
        if image is None:
            raise NotFound(
                "image-unknown", f"The image {ref} was built but is not there any more. Build it again."
            )
        return image

    def run(
        self,
        image: Image | str,
        *,
        seconds: int = 60,
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        show: bool = True,
    ) -> Job:
        """Try the image out and wait for its end.

        ``job.result["exit_code"]`` is None if its time was over.
        """
        return self._watch(self.start_trial(image, seconds=seconds, command=command, env=env), show)

    def deploy(
        self,
        image: Image | str,
        *,
        name: str | None = None,
        devices: Iterable[Device | str] | str = (),
        cluster: str | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        show: bool = True,
        timeout: float | None = None,
    ) -> Deployment:
        """Run the image on devices, and wait until each of them runs it. Arguments as `start_deploy`.

        Raises:
            JobFailed: names the device and says why it does not run there.
        """
        handle = self.start_deploy(
            image, name=name, devices=devices, cluster=cluster, env=env, command=command
        )
        self._watch(handle, show, timeout)
        return self.deployment(handle.name)

    def exec(self, trial_id: str, command: Sequence[str]) -> ExecResult:
        """Run a command (argv) inside a running trial."""
        wish = _made(ExecRequest, command=tuple(command))
        return self._transport.post(path_of("trials", trial_id, "exec"), ExecResult, _json(wish), timeout=120)

    # ------------------------------------------------------------ what there is
    def jobs(self, kind: JobKind | str | None = None, limit: int = 50) -> Table[Job]:
        """Your jobs, the newest first; ``build``, ``trial``, ``deploy`` or all."""
        return self._table(Job, "/jobs", {"kind": kind, "limit": limit})

    def job(self, id: str) -> JobHandle:  # noqa: A002 - the word everybody uses
        """Take up a job again, wherever it was started."""
        return JobHandle(self._transport, self._transport.get(path_of("jobs", id), Job))

    def quotas(self) -> Table[QuotaUse]:
        """How much of everything you may have, how much you have, and why it is so much."""
        return self._table(QuotaUse, "/quotas/mine")

    def images(self) -> Table[Image]:
        return self._table(Image, "/images")

    def delete_image(self, image: Image | str) -> None:
        """Delete one version, ``name:version``.

        Raises:
            Conflict: it is deployed.
        """
        name, _, version = self._ref(image).partition(":")
        if not version:
            raise SpecRefused("version-missing", f"Say which version of {name} to delete, such as {name}:1.")
        self._transport.delete(path_of("images", name, version))

    def devices(self) -> Table[Device]:
        return self._table(Device, "/devices")

    def deployments(self) -> Table[Deployment]:
        return self._table(Deployment, "/deployments")

    def deployment(self, name: str) -> Deployment:
        return self._transport.get(path_of("deployments", name), Deployment)

    def stop(self, name: str) -> None:
        """Stop a deployment on all its devices. Its data stays."""
        self._transport.delete(path_of("deployments", name))

    @overload
    def deployment_logs(
        self, name: str, *, tail: int = ..., follow: Literal[False] = ...
    ) -> Table[LogLine]: ...
    @overload
    def deployment_logs(self, name: str, *, tail: int = ..., follow: Literal[True]) -> Iterator[LogLine]: ...
    def deployment_logs(
        self, name: str, *, tail: int = 100, follow: bool = False
    ) -> Table[LogLine] | Iterator[LogLine]:
        """The last `tail` lines of what the programs wrote; with `follow` also each new line as it comes.

        Raises:
            Unreachable: the connection broke while following; call again.
        """
        lines = self._log_lines(name, tail, follow)
        return lines if follow else Table(LogLine, lines)

    # ------------------------------------------------------------ pages
    def form(self, spec: ImageSpec | None = None) -> ImageForm:
        """The form: describe an image, build it, try it out, deploy it, by mouse."""
        from cyberlab.widgets import ImageForm  # only a notebook has widgets

        return ImageForm(self, spec)

    def dashboard_url(self, name: str) -> str:
        """Where the dashboard ``name.ipynb`` opens as a page of its own, in your server."""
        prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")
        return f"{prefix}voila/render/{_DASHBOARDS}/{quote(name.removesuffix('.ipynb'))}.ipynb"

    # ------------------------------------------------------------ one place each
    def _log_lines(self, name: str, tail: int, follow: bool) -> Iterator[LogLine]:
        params = {"tail": str(tail), "follow": "true" if follow else "false"}
        with self._transport.stream(path_of("deployments", name, "logs"), params=params) as response:
            for message in sse.messages(response.iter_bytes()):
                if message.event == "end":
                    return
                if message.event == "error":
                    raise from_answer(503, decoded(ErrorInfo, message.data))
                if message.event:
                    yield decoded(LogLine, message.data)
        raise Unreachable(
            "log-broke-off",
            f"The log of {name} broke off: the lab closed the connection. The programs run on; ask again.",
        )

    def _ref(self, image: Image | str) -> str:
        """``name:version`` or ``name``: what the lab's requests call an image of one's own."""
        if isinstance(image, Image):
            return f"{image.name}:{image.version}"
        owner, slash, own = image.rpartition("/")
        return own if slash and owner == self.user else image

    def _start(self, path: str, wish: BaseModel) -> JobHandle:
        return JobHandle(self._transport, self._transport.post(path, Job, _json(wish)))

    def _watch(self, handle: JobHandle, show: bool, timeout: float | None = None) -> Job:
        if not show:
            return handle.wait(timeout)
        from cyberlab.progress import watch  # rich, only when something is drawn

        return watch(handle, timeout=timeout)


M = TypeVar("M", bound=BaseModel)


def _made(kind: type[M], **values: Any) -> M:
    """The request, checked before it is sent. Raises SpecRefused with a problem for each field."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise refused(error, "request") from error


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()
