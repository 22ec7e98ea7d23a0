"""The people and things that attacks need, made once: Mallory, who attacks, and Ben, who must not notice.

Ben has an image, a saved form, a finished build, a deployment that publishes, points in InfluxDB and a share with
Carla. His canary (a random word) is in all of them: it must never be in an answer that Mallory gets.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import httpx
from cyberlab import FileEntry, ImageSpec, Lab
from cyberlab.wire import API
from cyberlab_hub.accounts import api_token
from cyberlab_hub.demo.kernel import open_kernel
from cyberlab_hub.settings import Settings
from hostile.watch import HostWatch, Listener
from system.hubclient import Person, UserServer, drop_readings, person

if TYPE_CHECKING:
    from hostile.attack import Attack

T = TypeVar("T")

BENS_PROGRAM = """import time
from cyberlab_edge import publish

print("{canary} in the log")
print("token:" + open("/run/secrets/cyberlab_token").read().strip())
while True:
    publish("heartbeat", 1.0, room="{canary}")
    time.sleep(0.5)
"""


@dataclass
class Someone:
    """An account with a token of its own and two ways to use it."""

    person: Person
    token: str = field(repr=False)
    lab: Lab
    """The client a student has."""
    http: httpx.Client
    """Bare requests to the API (``/jobs/...``) with the token; nothing is checked on the way."""

    @property
    def name(self) -> str:
        return self.person.name


@dataclass
class Victim(Someone):
    """Ben, and what he has."""

    canary: str = ""
    image: str = ""
    """``hut:1``."""
    job: str = ""
    """His build, ended well."""
    deployment: str = ""
    device: str = ""
    """The device that runs it."""
    stolen_token: str = field(default="", repr=False)
    """The ingest token of his deployment: his program shows it, so some attacks begin with it."""


class Scene:
    """What an attack is given."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.settings = settings
        self._stack = stack
        self._results: dict[str, Any] = {}
        self.host = stack.enter_context(HostWatch(settings))
        self.listener = stack.enter_context(Listener())
        self.tried: dict[tuple[str, str], list[bool]] = {}
        self.mallory = self.someone("mallory")
        self.carla = self.someone("carla")
        self.ben = _furnish(self, self.someone("ben", Victim))

    # ------------------------------------------------------------ the one entry
    def attempt(self, attack: Attack) -> None:
        """Run one attack and judge it."""
        outcome = self.tried.setdefault((attack.area, attack.layer), [])
        outcome.append(False)
        self.listener.forget()
        attack.run(self)
        self.host.assert_canary()
        assert not self.listener.seen, f"{attack}: {self.listener.seen} reached a listener on the host"
        outcome[-1] = True

    def once(self, name: str, make: Callable[[], T]) -> T:
        """A result that several attacks read, made by the first that asks. A failure to make it is kept too."""
        if name not in self._results:
            try:
                self._results[name] = make()
            except BaseException as error:
                self._results[name] = error
                raise
        found = self._results[name]
        if isinstance(found, BaseException):
            raise AssertionError(  # noqa: TRY004 - the attack could not be tried: a failed test
                f"{name} could not be prepared: {found}"
            ) from found
        return cast("T", found)

    def keep(self, context: Any) -> Any:
        """Enter a context that ends with the scene."""
        return self._stack.enter_context(context)

    @contextmanager
    def act(self) -> Iterator[None]:
        """What is made within ends with it, not with the scene: a browser's event loop must not outlive its file."""
        outer = self._stack, self._results
        self._results = dict(self._results)
        try:
            with ExitStack() as self._stack:
                yield
        finally:
            self._stack, self._results = outer

    # ------------------------------------------------------------ people
    def someone(self, word: str, kind: type[Someone] = Someone) -> Any:
        """A new account, approved, with a token for one hour; it and all it has are removed at the end."""
        return self._stack.enter_context(_account(self.settings, word, kind))

    def server(self, who: Someone) -> UserServer:
        """Code runs inside that person's own notebook server; started once."""
        return self.once(f"server of {who.name}", lambda: self._stack.enter_context(_server(who.person)))

    # ------------------------------------------------------------ what must go on
    @contextmanager
    def host_steady(self) -> Iterator[None]:
        """Memory and disk of the host stay as they are, but for what one cage may use."""
        with self.host.steady():
            yield

    def ben_can_build(self, seconds: float = 90) -> None:
        """Another user's work goes on: Ben builds an image with a new program."""
        text = f"print({secrets.token_hex(8)!r})\n"
        image = self.ben.lab.build(small_spec("meanwhile", text), show=False, timeout=seconds)
        self.ben.lab.delete_image(image)

    def ben_can_compute(self, seconds: float = 60) -> None:
        """Another user's notebook goes on."""
        assert self.server(self.ben).run("print(sum(range(10**6)))", seconds) == "499999500000"

    def assert_nothing_of_ben(self, text: str) -> None:
        """Nothing that only Ben may see is in what Mallory was answered."""
        secret = (self.ben.canary, self.ben.token, self.ben.stolen_token)
        assert not [word for word in secret if word and word in text], "something of Ben's was seen"


def small_spec(name: str, text: str, **more: Any) -> ImageSpec:
    """A program of one file on the base `python`."""
    values: dict[str, Any] = {
        "name": name,
        "base": "python",
        "files": (FileEntry(path="main.py", text=text),),
        "command": ("python3", "main.py"),
    }
    return ImageSpec(**{**values, **more})


@contextmanager
def raise_the_curtain(settings: Settings) -> Iterator[Scene]:
    """The scene, for the tests of one session; everything in it is removed at the end."""
    with ExitStack() as stack:
        yield Scene(settings, stack)


# ---------------------------------------------------------------- making them
@contextmanager
def _account(settings: Settings, word: str, kind: type[Someone]) -> Iterator[Someone]:
    with person(settings, sign_in=False, word=word) as someone:
        token = api_token(settings, someone.name, expires_in=timedelta(hours=1), note="hostile tests")
        url = f"{settings.lab_url}{API}"
        headers = {"Authorization": f"Bearer {token}"}
        with (
            Lab(url=url, token=token) as lab,
            httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as http,
        ):
            try:
                yield kind(someone, token, lab, http)
            finally:
                _tidy(lab)
    drop_readings(settings, someone.name)


def _tidy(lab: Lab) -> None:
    for job in lab.jobs():
        if not job.phase.ended:
            lab.job(job.id).cancel()
    for deployment in lab.deployments():
        lab.stop(deployment.name)
    for image in lab.images():
        lab.delete_image(image.ref)
    for share in lab.shares():
        if share.owner == lab.user:
            lab.unshare(share.reader)


@contextmanager
def _server(someone: Person) -> Iterator[UserServer]:
    someone.browser.sign_in(someone.name, someone.password)
    someone.browser.start_server(lambda _: None)
    someone.browser.open_server()
    with open_kernel(someone.browser, "") as kernel:
        yield UserServer(someone, kernel)


def _furnish(scene: Scene, ben: Victim) -> Victim:
    """What Ben had before Mallory came."""
    ben.canary = f"canary{secrets.token_hex(8)}"
    spec = small_spec("hut", BENS_PROGRAM.format(canary=ben.canary), env={"BENS_WORD": ben.canary})
    ben.lab.save_spec(spec)
    handle = ben.lab.start_build(spec)
    handle.wait(180)
    ben.job, ben.image = handle.id, "hut:1"
    ben.device = next(device.name for device in ben.lab.devices() if device.state == "ready")
    ben.lab.deploy(ben.image, name="hut", devices=[ben.device], show=False, timeout=120)
    ben.deployment = "hut"
    ben.lab.publish("diary", 7.0, room=ben.canary)
    ben.lab.share(scene.carla.name)
    ben.stolen_token = _token_in_the_log(ben)
    return ben


def _token_in_the_log(ben: Victim) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in ben.lab.deployment_logs("hut"):
            if line.text.startswith("token:"):
                return line.text.removeprefix("token:").strip()
        time.sleep(0.5)
    raise AssertionError("Ben's program did not start within 30 s")


def wait_until(what: str, condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.3)


def in_background(work: Callable[[], object]) -> Callable[[], None]:
    """Start `work` in a thread; call the result to wait for its end. What it raises is raised there."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join() -> None:
        thread.join()
        if raised:
            raise raised[0]

    return join
