"""Whoever fills a disk fills their own: homes, and the workshop engine's disk, by bytes and by numbers of files."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator

import pytest
from cyberlab import FileEntry, ImageSpec
from cyberlab.errors import JobFailed
from cyberlab_hub.demo.kernel import open_kernel
from cyberlab_hub.disks import MB, Disks, home_disk
from cyberlab_hub.settings import Settings
from system.hubclient import Person, UserServer, lab_of, person

pytestmark = pytest.mark.engine

FILL = """
import errno
written = 0
try:
    with open("/home/lab/fill", "wb") as file:
        while written < {most} * 2**20:  # without a bound the test itself must not fill the machine
            written += file.write(b"x" * 2**20)
            file.flush()
    print("unbounded", written // 2**20)
except OSError as error:
    print(errno.errorcode[error.errno], written // 2**20)
"""
FILL_INODES = """
import errno, os
os.makedirs("/home/lab/many", exist_ok=True)
made = 0
try:
    while made < {most}:
        os.close(os.open(f"/home/lab/many/{{made}}", os.O_CREAT | os.O_WRONLY))
        made += 1
    print("unbounded", made)
except OSError as error:
    print(errno.errorcode[error.errno], made)
"""
KEEP = "import pathlib; p = pathlib.Path.home() / 'ok'; p.write_text('ok'); print(p.read_text())"
SLACK_MB = 3 * 1024
"""What else on the machine may write meanwhile."""


@pytest.fixture
def anna(lab_running: Settings) -> Iterator[Person]:
    with person(lab_running) as someone:
        someone.browser.start_server(lambda _: None)
        someone.browser.open_server()
        yield someone


@pytest.fixture
def ben(lab_running: Settings) -> Iterator[Person]:
    with person(lab_running) as someone:
        someone.browser.start_server(lambda _: None)
        someone.browser.open_server()
        yield someone


def run(someone: Person, code: str, seconds: float = 60) -> str:
    """What the code prints in a new kernel of the person's server."""
    with open_kernel(someone.browser, "") as kernel:
        return UserServer(someone, kernel).run(code, seconds)


def test_a_full_home_is_full_for_its_owner_alone(anna: Person, ben: Person) -> None:
    settings = anna.settings
    before = shutil.disk_usage(settings.state).free
    error, written = run(anna, FILL.format(most=2 * settings.home_mb), 240).split()
    assert error == "ENOSPC"
    assert 0.8 * settings.home_mb < int(written) <= settings.home_mb
    assert before - shutil.disk_usage(settings.state).free < (settings.home_mb + SLACK_MB) * MB
    assert run(ben, KEEP) == "ok"

    use = Disks(settings.disks).use(home_disk(anna.name).name)
    assert use is not None
    assert use.nearly_full, "the operator does not see it"
    anna.browser.stop_server()
    anna.browser.start_server(lambda _: None)
    anna.browser.open_server()
    run(anna, "import os; os.remove('/home/lab/fill')")
    assert run(anna, KEEP) == "ok"


def test_a_home_full_of_files_is_full_for_its_owner_alone(anna: Person, ben: Person) -> None:
    error, made = run(anna, FILL_INODES.format(most=200 * anna.settings.home_mb), 240).split()
    assert error == "ENOSPC"
    assert int(made) <= anna.settings.home_mb * 64 + 16, "more files than a home has room for"
    assert run(ben, KEEP) == "ok"
    run(anna, "import shutil; shutil.rmtree('/home/lab/many')", 240)
    assert run(anna, KEEP) == "ok"


def test_the_home_is_the_persons_own_disk_and_the_folder_of_disks_is_not_there(anna: Person) -> None:
    mounts = run(anna, "print(open('/proc/self/mountinfo').read())").splitlines()
    home = [line.split() for line in mounts if line.split()[4] == "/home/lab"]
    assert len(home) == 1
    assert {"nosuid", "nodev"} <= set(home[0][5].split(","))
    assert home[0][3] == "/data", "more of the disk than the home itself is in the container"
    assert not any("disks" in line for line in mounts)
    assert run(anna, "import os; print(os.listdir('/home'))") == "['lab']"


def test_a_home_is_let_go_after_the_stop_and_its_loop_device_with_it(anna: Person) -> None:
    disks, name = Disks(anna.settings.disks), home_disk(anna.name).name
    assert disks.mounted(name)
    run(anna, KEEP)
    anna.browser.stop_server()
    assert not disks.mounted(name)
    assert not disks.attached(name)
    use = disks.use(name)
    assert use is not None
    assert use.size > 0.8 * anna.settings.home_mb * MB, "the operator sees no size while it is not mounted"


def spec(name: str, *steps: str) -> ImageSpec:
    text = f"print({secrets.token_hex(4)!r})"
    files = (FileEntry(path="main.py", text=text),)
    return ImageSpec(name=name, base="python", files=files, custom="\n".join(f"RUN {step}" for step in steps))


def test_a_build_that_fills_the_engines_disk_fails_and_the_next_persons_build_works(
    lab_running: Settings,
) -> None:
    """Files below the limit of one, in several layers: those of the earlier steps must not stay either."""
    disks = Disks(lab_running.disks)
    gigabytes = lab_running.engine_disk_gb
    assert disks.mounted("engine")
    before, free = disks.use("engine"), shutil.disk_usage(lab_running.state).free
    assert before is not None
    assert free > (gigabytes + 10) * 1024 * MB, "this machine has not the room for this test"
    a_layer = "for i in 1 2 3; do head -c 1900M /dev/zero > /fill-$i || exit 1; done; echo {}"
    layers = [a_layer.format(n).replace("/fill-", f"/fill-{n}-") for n in range(gigabytes // 6 + 2)]
    with lab_of(lab_running, "hostile tests") as mallory, lab_of(lab_running, "hostile tests") as ben:
        with pytest.raises(JobFailed) as caught:
            mallory.build(spec("filler", *layers), show=False)
        assert caught.value.code == "disk-full"
        assert ben.build(spec("work"), show=False).name == "work"
    after = disks.use("engine")
    assert after is not None
    assert after.used - before.used < 1024 * MB, "layers of the build that filled the disk stayed"
    assert free - shutil.disk_usage(lab_running.state).free < SLACK_MB * MB
