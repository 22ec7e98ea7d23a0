"""A user's own server: a container with limits, a home volume, and one narrow token for the lab.

`LabSpawner` is DockerSpawner with five changes: it says what is going on while it starts, it waits for the
port itself (so a server that dies at once is reported at once), its failures are sentences for the user, the home
is a bounded disk (`disks`), mounted before the start and unmounted after the stop, and its token is renewed while
it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from dockerspawner import DockerSpawner
from jupyterhub.spawner import SpawnException
from jupyterhub.utils import maybe_future
from requests.exceptions import RequestException
from traitlets import Any as AnyTrait
from traitlets import Integer, Unicode

from cyberlab_hub import server_token
from cyberlab_hub.disks import Disk, Disks, home_disk
from cyberlab_hub.egress import NOTEBOOK_PORT, proxy_environment
from cyberlab_hub.errors import HubError
from cyberlab_hub.settings import Settings

HOME = "/home/lab"
LESSON = "lessons/01-first-readings.ipynb"
ASK = "If it happens again, tell whoever runs the lab."


class ServerNotStarted(SpawnException):  # type: ignore[misc]  # jupyterhub ships no types
    """A start that failed; `message` is what the user reads on the page and in the progress stream."""

    def __init__(self, message: str, log_message: str = "") -> None:
        super().__init__(message, reason="not-started", log_message=log_message or message, status_code=503)
        self.jupyterhub_message = message


class LabSpawner(DockerSpawner):  # type: ignore[misc]  # dockerspawner ships no types
    lab_name = Unicode("cyberlab", config=True, help="The lab's name: label and prefix of what it makes.")
    disks_folder = Unicode(config=True, help="Where the homes' disks are.")
    home_mb = Integer(0, config=True, help="Size of a home. 0: a volume without a bound.")

    mounts: Any  # DockerSpawner's own, which has no type
    while_running = AnyTrait(config=True, help="Called each time the hub finds the server running.")

    # A Dict trait is shared until it is set: hooks must assign a new dict, never change this one in place.
    async def start(self) -> tuple[str, int]:
        """Create and start the container, and wait until its port answers.

        Raises:
            ServerNotStarted: with what happened and what to do. No stopped container is left.
        """
        try:
            return await self._started()
        except ServerNotStarted:
            with suppress(DockerException, RequestException):
                if await self.poll() is not None and self.object_id:
                    await self.remove_object()  # a running one is stopped, and removed, by the hub
            raise

    async def _started(self) -> tuple[str, int]:
        try:
            if self.home_mb > 0:
                await self._mount_home()
            async with asyncio.timeout(max(1, self.start_timeout - 2)):
                ip, port = await super().start()
                await self._until_open(ip, port)
        except TimeoutError as error:
            raise ServerNotStarted(
                f"Your server did not answer within {self.start_timeout} seconds. The machine is probably "
                f"busy: wait a minute and start it again. {ASK}"
            ) from error
        except ImageNotFound as error:
            raise ServerNotStarted(
                f"The image {self.image} of the notebook servers is not on this machine. "
                "Whoever runs the lab can build it with `make up`."
            ) from error
        except APIError as error:
            raise ServerNotStarted(
                f"The container engine refused to start your server. {ASK}", str(error)
            ) from error
        except (DockerException, RequestException) as error:
            raise ServerNotStarted(
                "The lab's container engine does not answer. Whoever runs the lab starts it with `make up`.",
                str(error),
            ) from error
        return ip, port

    @property
    def _home(self) -> Disk:
        return home_disk(self.user.name, self.home_mb, server_token.USER_ID)

    async def _mount_home(self) -> None:
        """Bind the user's disk as the home; the first time with what an earlier lab kept in a volume."""
        volume = self.format_volume_name(f"{self.prefix}-home-{{username}}", self)
        try:
            old = Path((await self.docker("inspect_volume", volume))["Mountpoint"])
        except NotFound:
            old = None
        try:
            home = await asyncio.to_thread(Disks(Path(self.disks_folder)).ensure, self._home, old)
        except HubError as error:
            raise ServerNotStarted(
                f"Your home folder could not be opened [{error.code}]. Nothing in it is lost: "
                "tell whoever runs the lab.",
                error.message,
            ) from error
        if old is not None:
            await self.docker("remove_volume", volume)
        others = [mount for mount in self.mounts if mount["target"] != HOME]
        self.mounts = [*others, {"type": "bind", "source": str(home), "target": HOME}]

    async def run_post_stop_hook(self) -> None:
        """After every stop, also of a server that ended by itself: let the home go."""
        await maybe_future(super().run_post_stop_hook())
        if self.home_mb > 0:
            try:
                await asyncio.to_thread(Disks(Path(self.disks_folder)).release, self._home.name)
            except HubError as error:
                # it stays mounted, which the next start finds and the next `down` undoes
                self.log.warning("%s", error)

    async def poll(self) -> Any:
        """None while the container runs, else how it ended; the hub asks every half minute."""
        ended = await super().poll()
        if ended is None and self.while_running is not None:
            self.while_running(self)
        return ended

    async def _until_open(self, ip: str, port: int) -> None:
        while True:
            try:
                async with asyncio.timeout(1):
                    _, writer = await asyncio.open_connection(ip, port)
            except (OSError, TimeoutError):
                stopped = await self.poll()
                if stopped is not None:
                    raise ServerNotStarted(await self._last_words(stopped)) from None
                await asyncio.sleep(0.2)
            else:
                writer.close()
                return

    async def _last_words(self, stopped: Any) -> str:
        """What the user reads about a server that died; its log goes to the hub's log."""
        container = await self.get_object() or {}
        tail = b""
        if self.object_id:
            tail = await self.docker("logs", self.object_id, tail=30)
        self.log.error(
            "%s died while starting: %s\n%s", self.object_name, stopped, tail.decode(errors="replace")
        )
        if container.get("State", {}).get("OOMKilled"):
            megabytes = int(self.mem_limit) // 2**20
            return f"Your server ran out of memory while starting (it has {megabytes} MB). {ASK}"
        return f"Your server stopped while it was starting. Start it again. {ASK}"

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the start page and the demonstration show, until the hub knows how the start ended."""
        yield {"progress": 10, "message": "Preparing your home folder and your access to the lab"}
        limit = time.monotonic() + self.start_timeout
        while not self.object_id and time.monotonic() < limit:
            await asyncio.sleep(0.1)
        yield {"progress": 40, "message": f"Starting your own server from {self.image}"}
        await asyncio.sleep(1)
        yield {"progress": 70, "message": "Waiting for JupyterLab to answer (a few seconds)"}


def configure(c: Any, settings: Settings) -> None:
    """How every user server is made. Each limit is one line here."""
    c.JupyterHub.spawner_class = LabSpawner
    spawner = c.LabSpawner
    spawner.lab_name = settings.name
    spawner.image = "cyberlab/user"
    spawner.pull_policy = "never"
    spawner.prefix = settings.name
    # "-user-": else a user called "registry" had the container cyberlab-registry removed by starting a server
    spawner.name_template = "{prefix}-user-{username}"
    spawner.network_name = f"{settings.name}-users"
    spawner.remove = True
    labels = {"cyberlab.lab": settings.name, "cyberlab.part": "user"}
    spawner.extra_create_kwargs = {"labels": labels, "hostname": "lab"}
    spawner.disks_folder = str(settings.disks)
    spawner.home_mb = settings.home_mb
    # with a bound, each start puts the user's own disk here
    spawner.mounts = [
        {
            "type": "volume",
            "source": f"{settings.name}-home-{{username}}",
            "target": HOME,
            "labels": {"cyberlab.lab": settings.name, "cyberlab.part": "home"},
        }
    ]
    memory = f"{settings.server_memory_mb}M"
    spawner.mem_limit = memory
    spawner.cpu_limit = settings.server_cpus
    spawner.extra_host_config = {
        "auto_remove": False,  # a server that died keeps its log until the next start
        "memswap_limit": f"{settings.server_memory_mb}m",  # equal to the memory: no swap
        "pids_limit": settings.server_pids,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "tmpfs": {"/tmp": "rw,exec,nosuid,nodev,size=256m,mode=1777"},  # noqa: S108 - inside the container
        "init": True,
        # nobody answers there: names are the proxy's business, and a lookup fails at once
        "dns": [settings.gateway("users")],
    }
    host = settings.gateway("users")
    spawner.environment = dict(proxy_environment(settings.proxy_address, NOTEBOOK_PORT, [host]))
    spawner.notebook_dir = HOME
    spawner.default_url = f"/lab/tree/{LESSON}"
    spawner.start_timeout = 120
    spawner.http_timeout = 60
    spawner.consecutive_failure_limit = 0  # a class that fails to start thirty servers must not end the hub
    # what JupyterHub's own token may do for whoever steals it: say that the server is in use
    spawner.server_token_scopes = ["users:activity!user"]
    spawner.pre_spawn_hook = lambda server: server_token.give(server, settings)
    spawner.while_running = lambda server: server_token.renew(server, settings)
    spawner.post_stop_hook = lambda server: server_token.take(server, settings)
