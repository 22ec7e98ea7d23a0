"""A restart of the hub: servers, kernels and sign-ins go on."""

from __future__ import annotations

import pytest
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import processes
from cyberlab_hub.setup.up import up
from hubclient import user_server
from rich.console import Console

pytestmark = pytest.mark.engine


def test_restart_keeps_server_kernel_and_session(lab_running: Settings) -> None:
    with user_server(lab_running) as server:
        server.run("kept = 41")
        before = server.person.container.id
        processes.stop(lab_running, "hub")
        up(lab_running, Console(quiet=True))
        assert server.person.container.id == before
        assert not server.person.browser.start_server(lambda _: None), "the hub lost the server"
        # the proxy went with the hub and cut the channel; the kernel kept its memory
        kernels = server.person.browser.server("GET", "/kernels").json()
        assert len(kernels) == 1
        server.kernel._channel.close()
        server.kernel._channel = server.person.browser.channel(kernels[0]["id"])
        assert server.run("print(kept + 1)") == "42"
