"""A restart of the hub: servers, kernels and sign-ins go on. And what is left of one that was killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import processes
from hubclient import run_step, user_server

pytestmark = pytest.mark.engine


def test_restart_keeps_server_kernel_and_session(lab_running: Settings) -> None:
    with user_server(lab_running) as server:
        server.run("kept = 41")
        before = server.person.container.id
        processes.stop(lab_running, "hub")
        run_step(lab_running, "hub")
        assert server.person.container.id == before
        assert not server.person.browser.start_server(lambda _: None), "the hub lost the server"
        # the proxy went with the hub and cut the channel; the kernel kept its memory
        kernels = server.person.browser.server("GET", "/kernels").json()
        assert len(kernels) == 1
        server.kernel._channel.close()
        with server.person.browser.channel(kernels[0]["id"]) as channel:
            server.kernel._channel = channel
            assert server.run("print(kept + 1)") == "42"


def test_what_a_killed_hub_leaves_is_ended(lab_running: Settings) -> None:
    """Its proxy goes on, and so does its idle culler; `down` (or the next `up`) ends both."""
    hub = processes.find(lab_running, "hub")
    assert hub is not None
    children = {pid: words for pid in pids() if (words := command(pid)) and parent(pid) == hub.pid}
    assert {"configurable-http-proxy", "jupyterhub_idle_culler"} <= {
        name for words in children.values() for word in words for name in [word.rpartition("/")[2]]
    }
    os.kill(hub.pid, signal.SIGKILL)
    try:
        while processes.find(lab_running, "hub") is not None:
            time.sleep(0.05)
        assert all(command(pid) == words for pid, words in children.items()), "they went by themselves"
        assert processes.stop(lab_running, "hub")
        assert not any(command(pid) == words for pid, words in children.items())
    finally:
        run_step(lab_running, "hub")


def pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def command(pid: int) -> list[str]:
    """Empty when there is no such process (any more)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
