"""Clients in JavaScript, from npm, run by Node.js as a user's program would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENTS = ("@influxdata/influxdb-client@^1", "mqtt@^5")
INSTALL_SECONDS = 300
RUN_SECONDS = 60


def need_clients(request: pytest.FixtureRequest, folder: Path) -> Path:
    """`folder` with the clients in it. Skips without npm; fails if ``--require-engine`` was given."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        message = "no Node.js: `make up` installs the packages nodejs and npm"
        if request.config.getoption("--require-engine"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), *CLIENTS]
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS)
    return folder


def run(folder: Path, script: str, ca_file: str, **env: str) -> str:
    """What the script writes. It must end well."""
    path = folder / "program.cjs"
    path.write_text(script)
    done = subprocess.run(
        ["node", str(path)],
        env={"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": ca_file, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
