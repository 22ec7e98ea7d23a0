"""From inside a user's server: what must be out of reach, and what must be within."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from cyberlab_hub.demo.kernel import CellFailed
from cyberlab_hub.settings import Settings
from hubclient import UserServer, user_server

pytestmark = pytest.mark.engine

CONNECT = """
import socket
def reaches(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True
print(reaches({host!r}, {port}))
"""


@pytest.fixture(scope="module")
def anna(lab_running: Settings) -> Iterator[UserServer]:
    with user_server(lab_running) as server:
        yield server


@pytest.fixture(scope="module")
def ben(lab_running: Settings) -> Iterator[UserServer]:
    with user_server(lab_running) as server:
        yield server


def reaches(server: UserServer, host: str, port: int) -> bool:
    return server.run(CONNECT.format(host=host, port=port)) == "True"


def test_the_hub_and_the_lab_are_within_reach(anna: UserServer) -> None:
    settings = anna.person.settings
    for url in (settings.hub_api_url, settings.lab_url):
        where = urlsplit(url)
        assert reaches(anna, str(where.hostname), int(where.port or 80)), url


def test_another_users_server_is_out_of_reach(anna: UserServer, ben: UserServer) -> None:
    assert reaches(ben, "127.0.0.1", 8888), "the probe itself is wrong"
    assert not reaches(anna, ben.person.address, 8888)


def test_a_port_of_the_host_is_out_of_reach(anna: UserServer) -> None:
    """A listener on every address of the host: what sshd or a database of the machine would be."""
    settings = anna.person.settings
    with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104 - every address is the point
        port = listener.getsockname()[1]
        accepted = threading.Event()

        def accept() -> None:
            try:
                listener.accept()[0].close()
                accepted.set()
            except OSError:
                pass  # closed at the end of the test

        threading.Thread(target=accept, daemon=True).start()
        for network in ("users", "devices", "data"):
            assert not reaches(anna, settings.gateway(network), port), network
        assert not accepted.is_set()
        listener.shutdown(socket.SHUT_RDWR)


def test_parts_of_the_lab_are_out_of_reach(anna: UserServer) -> None:
    settings = anna.person.settings
    parts = {
        "workshop engine": (settings.engine_address, 2376),
        "registry": (settings.registry_address, 5000),
        "MQTT": (settings.mqtt_address, 8883),
        "InfluxDB": (settings.influx_address, 8086),
        "a Pi's swarm port": (settings.address("devices", 11), 7946),
        "the public proxy": (settings.gateway("users"), settings.hub_port),
        "the proxy's API": (settings.gateway("users"), settings.hub_port + 1),
        "ingest, devices' side": (settings.gateway("devices"), 8443),
        "registry tokens, devices' side": (settings.gateway("devices"), 8444),
        "ingest, users' side": (settings.gateway("users"), 8443),
    }
    reached = [name for name, (host, port) in parts.items() if reaches(anna, host, port)]
    assert not reached


def test_no_docker_inside(anna: UserServer) -> None:
    assert anna.run(
        "import os; print(os.path.exists('/var/run/docker.sock'), os.path.exists('/run/docker.sock'))"
    ) == ("False False")
    assert anna.run("import shutil; print(shutil.which('docker'))") == "None"


def test_no_privilege_inside(anna: UserServer) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in anna.run("print(open('/proc/self/status').read())").splitlines()
        if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[which], 16) == 0, which
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_the_root_is_read_only_and_home_and_tmp_are_not(anna: UserServer) -> None:
    for place in ("/etc/x", "/usr/local/bin/x", "/opt/x"):
        with pytest.raises(CellFailed, match=r"Read-only file system|Permission denied"):
            anna.run(f"open({place!r}, 'w')")
    assert anna.run(
        "import pathlib; [pathlib.Path(p).write_text('x') for p in ('/tmp/x', '/home/lab/x')]; print('ok')"
    ) == ("ok")


def test_memory_is_limited_and_the_server_survives(anna: UserServer) -> None:
    settings = anna.person.settings
    code = f"""
import subprocess, sys
eat = "b = bytearray({settings.server_memory_mb + 256} * 2**20)\\nfor i in range(0, len(b), 4096): b[i] = 1"
print(subprocess.run([sys.executable, "-c", eat]).returncode)
"""
    assert anna.run(code, 120) == "-9"
    assert anna.run("print('alive')") == "alive"


def test_processes_are_limited(anna: UserServer) -> None:
    code = f"""
import subprocess
children, refused = [], False
try:
    for _ in range({anna.person.settings.server_pids + 10}):
        children.append(subprocess.Popen(["sleep", "60"]))
except OSError:
    refused = True
finally:
    for child in children: child.kill()
    for child in children: child.wait()
print(refused)
"""
    assert anna.run(code, 120) == "True"


def test_the_processor_is_limited(anna: UserServer) -> None:
    """Two busy processes share what the setting allows."""
    settings = anna.person.settings
    code = """
import subprocess, sys, time
spin = "import time; t=time.time()\\nwhile time.time()-t < 3: pass\\nprint(time.process_time())"
ps = [subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE, text=True) for _ in range(2)]
print(sum(float(p.communicate()[0]) for p in ps) / 3)
"""
    assert float(anna.run(code, 60)) < settings.server_cpus * 1.3


def test_other_peoples_files_are_not_there(anna: UserServer, ben: UserServer) -> None:
    ben.run("open('/home/lab/secret-of-ben', 'w').write('x')")
    look = """
import glob
print([p for top in ("/home", "/tmp", "/mnt", "/var") for p in glob.glob(top + "/**/secret-*", recursive=True)])
"""
    assert "secret-of-ben" in ben.run(look), "the probe itself is wrong"
    assert anna.run(look) == "[]"
