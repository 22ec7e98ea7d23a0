"""Tries to leave the container. Each probe returns what it got; raising means that the kernel refused.

Standard library only: this file is copied into containers. System calls without a wrapper go through ctypes.
"""

import ctypes
import glob
import os
import platform
import socket
import stat
import struct
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)
_ARM = platform.machine() == "aarch64"
# name: (x86-64, aarch64)
_NUMBERS = {
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "userfaultfd": (323, 282),
    "setns": (308, 268),
    "pivot_root": (155, 41),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "clock_settime": (227, 112),
    "acct": (163, 89),
    "fsopen": (430, 430),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
}


def _syscall(name, *arguments):
    number = _NUMBERS[name][_ARM]
    found = _libc.syscall(number, *arguments)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def _libc_call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return True


def _status():
    with open("/proc/self/status") as file:
        return dict(line.strip().split(":\t", 1) for line in file if ":\t" in line)


def _write(path, text="1"):
    with open(path, "w") as file:
        file.write(text)
    return f"wrote {path}"


# ---------------------------------------------------------------- mounting and roots
def mount_tmpfs(facts):
    return _libc_call("mount", b"none", b"/tmp", b"tmpfs", 0, None)


def mount_proc(facts):
    return _libc_call("mount", b"proc", b"/mnt", b"proc", 0, None)


def mount_bind_root(facts):
    return _libc_call("mount", b"/", b"/mnt", None, 4096, None)


def mount_cgroup(facts):
    return _libc_call("mount", b"cgroup", b"/mnt", b"cgroup", 0, b"memory")


def remount_root_writable(facts):
    return _libc_call("mount", b"none", b"/", None, 32 | 4096, None)


def mount_by_the_new_calls(facts):
    return _syscall("fsopen", b"tmpfs", 0)


def pivot_root(facts):
    return _syscall("pivot_root", b"/tmp", b"/tmp")


def chroot_and_climb(facts):
    """The classic way out: a chroot below, then .. above it. Returns whether the host's file was seen."""
    os.makedirs("/tmp/jail", exist_ok=True)
    above = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/jail")
    os.fchdir(above)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return os.path.exists(facts["canary"])


def open_by_handle(facts):
    """Shocker: guess the handle of the host's root directory."""
    handle = struct.pack("Ii", 8, 1) + struct.pack("II", 2, 0)
    place = os.open("/etc/hostname", os.O_RDONLY)
    return _syscall("open_by_handle_at", place, handle, 0)


# ---------------------------------------------------------------- devices
def make_a_disk_device(facts):
    os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(8, 0))
    with open("/tmp/disk", "rb") as disk:
        return len(disk.read(512))


def make_the_memory_device(facts):
    os.mknod("/tmp/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    with open("/tmp/mem", "rb") as memory:
        return len(memory.read(16))


def open_the_memory(facts):
    for path in ("/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore"):
        if os.path.exists(path):
            with open(path, "rb") as memory:
                if memory.read(16):
                    return f"read {path}"
    raise FileNotFoundError("no memory device")


def which_devices(facts):
    """Every device node that is there."""
    found = []
    for path in glob.glob("/dev/**", recursive=True):
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
            found.append(path)
    return sorted(found)


# ---------------------------------------------------------------- kernel
def load_a_module(facts):
    return _syscall("init_module", b"\x7fELF", 4, b"")


def load_another_kernel(facts):
    return _syscall("kexec_load", 0, 0, 0, 0)


def use_the_keyring(facts):
    return _syscall("keyctl", 0, -3, 1)


def load_bpf(facts):
    return _syscall("bpf", 5, ctypes.create_string_buffer(128), 120)


def watch_with_perf(facts):
    attributes = struct.pack("IIQ", 1, 112, 0) + bytes(96)
    return _syscall("perf_event_open", attributes, -1, 0, -1, 0)


def use_io_uring(facts):
    return _syscall("io_uring_setup", 8, ctypes.create_string_buffer(120))


def handle_page_faults(facts):
    return _syscall("userfaultfd", 0)


def set_the_clock(facts):
    return _syscall("clock_settime", 0, struct.pack("qq", 0, 0))


def reboot(facts):
    return _syscall("reboot", 0xFEE1DEAD, 672274793, 0x89ABCDEF, 0)


def add_swap(facts):
    return _syscall("swapon", b"/tmp/x", 0)


def account_processes(facts):
    return _syscall("acct", b"/tmp/x")


def new_user_namespace(facts):
    """A user namespace would give every capability over new namespaces."""
    return _libc_call("unshare", 0x10000000)


def new_mount_namespace(facts):
    return _libc_call("unshare", 0x00020000)


def clone_a_user_namespace(facts):
    return subprocess.run(["unshare", "-Ur", "id", "-u"], check=True, capture_output=True, text=True).stdout


def enter_the_first_namespaces(facts):
    """Into the namespaces of the init process, if that were the host's."""
    for name in ("mnt", "pid", "net"):
        place = os.open(f"/proc/1/ns/{name}", os.O_RDONLY)
        _syscall("setns", place, 0)
    return os.path.exists(facts["canary"])


# ---------------------------------------------------------------- /proc and /sys
def press_sysrq(facts):
    return _write("/proc/sysrq-trigger", "h")


def set_the_core_pattern(facts):
    return _write("/proc/sys/kernel/core_pattern", "|/tmp/x")


def set_modprobe(facts):
    return _write("/proc/sys/kernel/modprobe", "/tmp/x")


def forward_packets(facts):
    return _write("/proc/sys/net/ipv4/ip_forward")


def write_to_sys(facts):
    return _write("/sys/kernel/uevent_helper", "/tmp/x")


def set_a_release_agent(facts):
    paths = [*glob.glob("/sys/fs/cgroup/*/release_agent"), *glob.glob("/sys/fs/cgroup/release_agent")]
    if not paths:
        raise FileNotFoundError("no release_agent")
    return [_write(path, "/tmp/x") for path in paths]


def lift_the_memory_limit(facts):
    limits = {"/sys/fs/cgroup/memory/memory.limit_in_bytes": "-1", "/sys/fs/cgroup/memory.max": "max"}
    paths = [path for path in limits if os.path.exists(path)]
    if not paths:
        raise FileNotFoundError("no memory limit to write")
    return [_write(path, limits[path]) for path in paths]


def spare_me_from_the_oom_killer(facts):
    return _write("/proc/self/oom_score_adj", "-1000")


def read_masked_files(facts):
    """Files that tell of the host or its kernel: what could be read of each."""
    seen = []
    for path in ("/proc/kcore", "/proc/timer_list", "/proc/sched_debug", "/proc/kmsg", "/sys/firmware/dmi"):
        try:
            if os.path.isdir(path):
                if os.listdir(path):
                    seen.append(path)
            else:
                with open(path, "rb") as file:
                    if file.read(16):
                        seen.append(path)
        except OSError:
            continue
    return seen


# ---------------------------------------------------------------- others
def read_memory_of_a_host_process(facts):
    """By the number that a process of the host has there."""
    room = ctypes.create_string_buffer(16)
    here = struct.pack("PN", ctypes.addressof(room), 16)
    there = struct.pack("PN", 0x400000, 16)
    return _syscall("process_vm_readv", facts["host_pid"], here, 1, there, 1, 0)


def trace_a_host_process(facts):
    return _syscall("ptrace", 0x4206, facts["host_pid"], 0, 0)


def see_other_processes(facts):
    """Command lines that are not this container's own."""
    mine = ("python", "sh ", "sh\0", "sleep", "docker-init", "tini", "timeout", "/sbin/docker-init")
    foreign = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path) as file:
                line = file.read()
        except OSError:
            continue
        name = os.path.basename(line.split("\0")[0])
        if line and not any(word in line for word in mine) and name not in ("sh", "bash", "unshare"):
            foreign.append(line.replace("\0", " ")[:80])
    return foreign


def environment_of_others(facts):
    """Secrets in the environment of any process that can be seen."""
    words = ("TOKEN=", "PASSWORD", "SECRET", "AWS_", "JUPYTERHUB")
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, errors="replace") as file:
                values = file.read().split("\0")
        except OSError:
            continue
        found += [v.split("=")[0] for v in values if any(w in v.split("=")[0] + "=" for w in words)]
    return sorted(set(found))


def shared_memory_of_others(facts):
    with open("/proc/sysvipc/shm") as file:
        return file.read().splitlines()[1:]


def find_a_docker_socket(facts):
    return [
        path
        for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")
        if os.path.exists(path)
    ]


def find_the_host_file(facts):
    """The canary by its own path, and through every way /proc offers."""
    ways = ["", "/proc/1/root", "/proc/self/root", "/proc/self/cwd/../../../../.."]
    ways += [f"/proc/{number}/root" for number in os.listdir("/proc") if number.isdigit()]
    seen = []
    for way in ways:
        try:
            if os.path.exists(way + facts["canary"]):
                seen.append(way or "/")
        except OSError:
            continue
    return seen


def which_secrets(facts):
    """Files below /run/secrets."""
    return sorted(os.listdir("/run/secrets")) if os.path.isdir("/run/secrets") else []


# ---------------------------------------------------------------- network devices
def raw_socket(facts):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "raw socket"


def packet_socket(facts):
    """Whoever may send whole frames can answer ARP in another's name."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()
    return "packet socket"


def add_an_address(facts):
    code = struct.pack("16sH2s4s8s", b"lo", socket.AF_INET, b"\0\0", socket.inet_aton("10.9.9.9"), b"\0" * 8)
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8916, code)
    return "address set"


# ---------------------------------------------------------------- what the process has
def capabilities(facts):
    status = _status()
    return {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


def no_new_privileges(facts):
    return _status()["NoNewPrivs"]


def seccomp_mode(facts):
    return _status()["Seccomp"]


def who_am_i(facts):
    with open("/proc/self/uid_map") as file:
        return {"uid": os.getuid(), "map": [int(word) for word in file.readline().split()]}


def become_root_by_a_setuid_file(facts):
    """A setuid-root copy of Python, made here or in the build: who one is by it."""
    for path in ("/tmp/rootshell", "/usr/src/app/rootshell", "/usr/bin/su", "/usr/bin/passwd", "/bin/mount"):
        if os.path.exists(path) and os.stat(path).st_mode & stat.S_ISUID and path.endswith("rootshell"):
            program = "import os; print(os.geteuid())"
            return subprocess.run([path, "-c", program], capture_output=True, text=True, check=True).stdout
    raise FileNotFoundError("no setuid file")


def write_outside_tmp(facts):
    """Every place but /tmp that can be written to."""
    done = []
    for folder in (
        "/",
        "/etc",
        "/usr/bin",
        "/usr/local/bin",
        "/var",
        "/opt",
        "/usr/src/app",
        "/root",
        "/home",
    ):
        try:
            path = os.path.join(folder, "written")
            _write(path)
            os.unlink(path)
            done.append(folder)
        except OSError:
            continue
    return done
