"""Ways out of a container: tried from a trial, a build, a command in a trial, a deployment and a notebook.

Each probe of `inside/escape.py` runs once in each place; each is an attack of its own, judged by what it found there.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
from cyberlab.wire import Phase
from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.workshop.engine import Engine
from hostile import places
from hostile.attack import Attack, Scene, table
from hostile.places import Finding, Findings
from hostile.scene import small_spec, wait_until

PLACES: dict[str, Callable[..., Findings]] = {
    "trial": places.in_trial,
    "build": places.in_build,
    "exec": places.in_exec,
    "deployment": places.in_deployment,
    "notebook": places.in_notebook,
}
Judge = Callable[[Finding], bool]


def findings(scene: Scene, place: str) -> Findings:
    """What every probe of `inside/escape.py` found there; they run once."""
    facts = {"canary": str(scene.host.canary), "host_pid": os.getpid()}
    return scene.once(f"escape from a {place}", lambda: PLACES[place](scene, "escape", facts))


# ---------------------------------------------------------------- judges
def refused(finding: Finding) -> bool:
    return bool(finding.error)


def nothing(finding: Finding) -> bool:
    return finding.value == [] and not finding.error


def value(*allowed: Any) -> Judge:
    return lambda finding: not finding.error and finding.value in allowed


def stays_inside(finding: Finding) -> bool:
    """Refused, or it climbed and did not see the host's file."""
    return bool(finding.error) or finding.value is False


def no_capability(finding: Finding) -> bool:
    return not finding.error and set(finding.value.values()) == {0}


def only_a_builders_capabilities(finding: Finding) -> bool:
    """Nothing that is not about its own files and users: CHOWN to SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, MKNOD ..."""
    harmless = {0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 27, 29, 31}
    held = {bit for bits in finding.value.values() for bit in range(64) if bits >> bit & 1}
    return held <= harmless


def nobody_outside(finding: Finding) -> bool:
    """Whatever the number inside, outside it is one of many that own nothing."""
    inside, outside, number = finding.value["map"]
    return inside == 0 and outside >= 100_000 and number <= 65_536


def an_ordinary_user(finding: Finding) -> bool:
    return finding.value["uid"] >= 1000


def still_not_root(finding: Finding) -> bool:
    return not finding.error and finding.value.strip() not in ("", "0")


def only_harmless_devices(finding: Finding) -> bool:
    harmless = {"full", "null", "zero", "random", "urandom", "tty", "console", "pts/ptmx", "ptmx"}
    names = {device.removeprefix("/dev/") for device in finding.value}
    return all(name in harmless or name.startswith("pts/") for name in names)


# ---------------------------------------------------------------- what each probe is
NAMESPACE, SECCOMP, FLAG = "user namespace", "seccomp", "container flag"
REFUSED = {
    "mount_tmpfs": ("mounts a file system", SECCOMP),
    "mount_proc": ("mounts a fresh /proc without masks", SECCOMP),
    "mount_bind_root": ("mounts the root again elsewhere", SECCOMP),
    "mount_cgroup": ("mounts the control groups", SECCOMP),
    "mount_by_the_new_calls": ("mounts by fsopen", SECCOMP),
    "remount_root_writable": ("makes the read-only root writable", SECCOMP),
    "pivot_root": ("changes the root", SECCOMP),
    "open_by_handle": ("opens the host's root by a guessed handle", SECCOMP),
    "make_a_disk_device": ("makes the host's disk as a device", NAMESPACE),
    "make_the_memory_device": ("makes the memory as a device", NAMESPACE),
    "open_the_memory": ("opens /dev/mem, /dev/kmem, /proc/kcore", FLAG),
    "load_a_module": ("loads a kernel module", SECCOMP),
    "load_another_kernel": ("loads another kernel", SECCOMP),
    "use_the_keyring": ("reads the kernel's keys", SECCOMP),
    "load_bpf": ("loads a BPF program", SECCOMP),
    "watch_with_perf": ("watches by perf events", SECCOMP),
    "use_io_uring": ("uses io_uring", SECCOMP),
    "handle_page_faults": ("handles page faults in user space", SECCOMP),
    "set_the_clock": ("sets the clock", SECCOMP),
    "reboot": ("reboots", SECCOMP),
    "add_swap": ("adds swap", SECCOMP),
    "account_processes": ("accounts processes into a file", SECCOMP),
    "new_user_namespace": ("makes a user namespace", SECCOMP),
    "new_mount_namespace": ("makes a mount namespace", SECCOMP),
    "clone_a_user_namespace": ("starts a root shell in a user namespace", SECCOMP),
    "enter_the_first_namespaces": ("enters the namespaces of process 1", SECCOMP),
    "press_sysrq": ("presses SysRq", FLAG),
    "set_the_core_pattern": ("sets the program that gets core dumps", FLAG),
    "set_modprobe": ("sets the program that loads modules", FLAG),
    "forward_packets": ("lets packets be forwarded", FLAG),
    "write_to_sys": ("sets the program of device events", FLAG),
    "set_a_release_agent": ("sets a release agent of a control group", FLAG),
    "lift_the_memory_limit": ("lifts its own memory limit", NAMESPACE),
    "spare_me_from_the_oom_killer": ("is spared when memory ends", NAMESPACE),
    "read_memory_of_a_host_process": ("reads the memory of a process of the host", "pid namespace"),
    "trace_a_host_process": ("traces a process of the host", "pid namespace"),
    "raw_socket": ("opens a raw socket", "runtime"),
    "packet_socket": ("opens a packet socket, to answer ARP as another", "runtime"),
    "add_an_address": ("gives itself an address", NAMESPACE),
}
JUDGED: dict[str, tuple[str, str, Judge]] = {
    "chroot_and_climb": ("climbs out of a chroot", FLAG, stays_inside),
    "which_devices": ("looks for device nodes", FLAG, only_harmless_devices),
    "read_masked_files": ("reads files that tell of the host", FLAG, nothing),
    "see_other_processes": ("looks for others' processes", "pid namespace", nothing),
    "environment_of_others": ("reads secrets in environments", FLAG, nothing),
    "shared_memory_of_others": ("looks for others' shared memory", "ipc namespace", nothing),
    "find_a_docker_socket": ("looks for the engine's socket", FLAG, nothing),
    "find_the_host_file": ("looks for a file of the host by every way", "mount namespace", nothing),
    "which_secrets": ("looks for secrets", FLAG, nothing),
    "capabilities": ("looks what capabilities it has", FLAG, no_capability),
    "no_new_privileges": ("looks whether it can gain privileges", "engine flag", value("1")),
    "seccomp_mode": ("looks whether calls are filtered", SECCOMP, value("2")),
    "who_am_i": ("looks who it is outside", NAMESPACE, nobody_outside),
    "become_root_by_a_setuid_file": (
        "runs a setuid file of root's that its build made",
        "engine flag",
        still_not_root,
    ),
    "write_outside_tmp": ("writes outside /tmp", FLAG, nothing),
}
ELSEWHERE: dict[tuple[str, str], Judge | None] = {
    # a build is root of its own files, and has no other file system
    ("build", "capabilities"): only_a_builders_capabilities,
    ("build", "become_root_by_a_setuid_file"): None,
    ("build", "write_outside_tmp"): None,
    ("deployment", "which_secrets"): value(["cyberlab_token"]),
    # the system engine has no user namespace: an ordinary user without capabilities instead
    ("notebook", "who_am_i"): an_ordinary_user,
    ("notebook", "become_root_by_a_setuid_file"): None,
    # its own server's variables are its own; other people's processes are not there to be seen
    ("notebook", "environment_of_others"): None,
}
"""Where another judge holds; None: the probe says nothing there."""
OF_EXEC = {"mount_proc", "new_user_namespace", "packet_socket", "use_io_uring", "set_a_release_agent", "which_devices",
           "capabilities", "no_new_privileges", "seccomp_mode", "who_am_i", "find_the_host_file", "write_outside_tmp"}  # fmt: skip
"""A command in a trial is in the trial's cage: what could differ is what the engine gives a new process."""


def _attacks() -> Iterator[Attack]:
    every = {name: (tries, layer, refused) for name, (tries, layer) in REFUSED.items()} | JUDGED
    for place in PLACES:
        for name, (tries, layer, judge) in every.items():
            holds = ELSEWHERE.get((place, name), judge)
            if holds is not None and (place != "exec" or name in OF_EXEC):
                yield _probe(place, name, tries, layer, holds)


def _probe(place: str, name: str, tries: str, layer: str, holds: Judge) -> Attack:
    def run(scene: Scene) -> None:
        finding = findings(scene, place)[name]
        assert holds(finding), f"{name} in a {place}: {finding}"

    said = f"{place}-{name.replace('_', '-')}"
    return Attack("containers", said, f"from a {place}: {tries}", "refused, or nothing is there", layer, run)


# ---------------------------------------------------------------- seen from the host
def _root_inside_is_nobody_outside(scene: Scene) -> None:
    """Root of a build, seen by the host's kernel."""
    name = "30414"
    handle = scene.mallory.lab.start_build(
        small_spec("seen", "1", custom=f"RUN id -u && sleep {name} && echo {os.urandom(4).hex()}")
    )
    try:
        found: list[int] = []
        wait_until("the process of the build", lambda: found.extend(_owners(f"sleep\0{name}\0")) or found, 60)
        assert all(owner >= 100_000 for owner in found), found
    finally:
        handle.cancel()


def _owners(command: str) -> list[int]:
    """Numbers of the users whose processes on this host have that command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_text(errors="replace") == command:
                found.append(path.parent.stat().st_uid)
        except OSError:
            continue
    return found


def _token_is_nowhere(scene: Scene) -> None:
    """The ingest token of a deployment: a file in its containers, and nowhere else."""
    token = scene.ben.stolen_token
    assert token, "there is no token: the attack proves nothing"
    http = scene.ben.http
    seen = [
        http.get(path).text for path in ("/deployments", "/deployments/hut", "/jobs", "/images", "/devices")
    ]
    jobs = [job.id for job in scene.ben.lab.jobs(kind="deploy")]
    seen += [event.model_dump_json() for job in jobs for event in scene.ben.lab.job(job).past()]
    node = docker.from_env().containers.get(f"{scene.settings.name}-{scene.ben.device}")
    inner = "docker ps -aq | xargs -r docker inspect; docker ps -aq | xargs -rI{} docker exec {} env; ps axww -o args,env"
    seen.append(node.exec_run(["sh", "-c", inner]).output.decode(errors="replace"))
    manager = Engine(scene.settings.workshop_url, scene.settings.certs, "swarm")
    seen += [
        json.dumps(manager.call("GET", path)) for path in ("/services", "/tasks", "/secrets", "/configs")
    ]
    manager.close()
    seen += [path.read_text(errors="replace") for path in scene.settings.logs.glob("*.log")]
    seen.append(
        subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    )
    assert not [text[:200] for text in seen if token in text]
    database = scene.settings.state / "lab.sqlite"
    if database.exists():
        stored = b"".join(path.read_bytes() for path in database.parent.glob("lab.sqlite*"))
        assert token.encode() not in stored
        assert hashed(token).encode() in stored, (
            "the database does not know the token: the attack proves nothing"
        )


def _exec_in_an_ended_trial(scene: Scene) -> None:
    """A command in a trial that has ended must not reach whatever has its place now."""
    lab = scene.mallory.lab
    image = lab.build(small_spec("short", "print('ended')"), show=False, timeout=120)
    handle = lab.start_trial(image, seconds=30)
    handle.wait(60)
    assert handle.refresh().phase is Phase.DONE
    answer = scene.mallory.http.post(f"/trials/{handle.id}/exec", json={"command": ["id"]})
    assert answer.status_code == 409, answer.text


ATTACKS = (
    *_attacks(),
    Attack("containers", "root-inside-seen-outside", "is root in a build", "outside it is a number that owns nothing", NAMESPACE, _root_inside_is_nobody_outside),
    Attack("containers", "token-is-nowhere", "looks for a deployment's token in API, inspect, logs, database", "it is only in the file", "secret file", _token_is_nowhere),
    Attack("containers", "exec-in-an-ended-trial", "runs a command in a trial that has ended", "it is refused", "owner check", _exec_in_an_ended_trial),
)  # fmt: skip


@table(ATTACKS)
def test_containers(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
