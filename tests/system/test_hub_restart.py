"""A restart of the hub: servers, kernels and sign-ins go on."""

from __future__ import annotations

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
