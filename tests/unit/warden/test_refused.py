"""What the warden refuses. Each case changes one thing of a request that is allowed, which the first test shows."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from cyberlab_hub.workshop import limits, service_spec
from cyberlab_hub.workshop.orders import DeployOrder
from unit.warden.dockerd import LIMITS, SETTINGS, TABLE, question
from warden import ceilings
from warden.__main__ import answer

R = SETTINGS.registry
DIGEST = "sha256:" + "a" * 64
TRIAL = "cyberlab-trial-0123456789abcdef"
TAR = "application/x-tar"
GB = 2**30

CAGE = limits.cage()
TRIAL_BODY: dict[str, Any] = {
    "Image": f"{R}/ann/prog@{DIGEST}",
    "Cmd": ["python3", "main.py"],
    "Env": ["A=b"],
    "Labels": {"cyberlab.owner": "ann"},
    "HostConfig": {
        **CAGE, "Init": True, "Tmpfs": {"/tmp": "size=1000,mode=1777"}, "NetworkMode": "cyberlab-trials",  # noqa: S108
    },
}  # fmt: skip
NETWORK_BODY: dict[str, Any] = {
    "Name": "cyberlab-trials",
    "Driver": "bridge",
    "Options": {"com.docker.network.bridge.enable_icc": "false"},
    "Labels": {},
}
BUILD = {"t": f"{R}/ann/prog:1", "dockerfile": ".d", **limits.build_params(SETTINGS, "cgroupfs", 4)}
ORDER = DeployOrder(
    "j", "ann", "green", "d0a1", "ann/prog", DIGEST, "ann/prog:1", ("n1",), (), (), (8080,), "t", "u", "p"
)
KEPT = service_spec.Kept("k1", "kept")
SERVICE_BODY = service_spec.service_spec(SETTINGS, ORDER, KEPT, KEPT)
NODE_BODY: dict[str, Any] = {"Role": "worker", "Availability": "active", "Labels": {"cyberlab.d.d0a1": "1"}}
SECRET_BODY: dict[str, Any] = {"Name": "cyberlab-token-x-y", "Data": "YQ==", "Labels": {}}
VERSION = "/usr/share/cyberlab/versions.json"


@dataclass(frozen=True)
class Ask:
    role: str
    method: str
    uri: str
    body: Any = None
    kind: str = "application/json"

    def verdict(self) -> dict[str, Any]:
        body = (
            self.body if isinstance(self.body, bytes) or self.body is None else json.dumps(self.body).encode()
        )
        return answer(question(self.role, self.method, self.uri, body, self.kind), TABLE)


def build(**changes: Any) -> Ask:
    params = {k: v for k, v in {**BUILD, **changes}.items() if v is not None}
    return Ask("builder", "POST", f"/v1.41/build?{urlencode(params)}", b"tar", TAR)


def changed(body: Any, path: str, value: Any) -> Any:
    """`body` with the value at ``a.b.c`` set, or removed when it is ``...``."""
    new = copy.deepcopy(body)
    *folders, last = path.split(".") if "|" not in path else path.split("|")
    inside = new
    for each in folders:
        inside = inside[int(each) if isinstance(inside, list) else each]
    if value is ...:
        del inside[last]
    elif isinstance(inside, list):
        inside[int(last)] = value
    else:
        inside[last] = value
    return new


def trial(path: str = "Cmd", value: Any = ("true",), name: str = TRIAL) -> Ask:
    value = list(value) if isinstance(value, tuple) else value
    return Ask("runner", "POST", f"/v1.41/containers/create?name={name}", changed(TRIAL_BODY, path, value))


def host(key: str, value: Any) -> Ask:
    return trial(f"HostConfig.{key}", value)


def service(path: str, value: Any) -> Ask:
    return Ask("swarm", "POST", "/v1.41/services/create", changed(SERVICE_BODY, path, value))


def task(path: str, value: Any) -> Ask:
    return service(f"TaskTemplate.{path}", value)


def node(path: str, value: Any) -> Ask:
    return Ask("swarm", "POST", "/v1.41/nodes/n1/update?version=3", changed(NODE_BODY, path, value))


ALLOWED = [
    build(),
    trial(),
    service("Labels", {}),
    node("Labels", {}),
    Ask("runner", "POST", f"/v1.41/containers/{TRIAL}/start", {}),
    Ask("runner", "POST", f"/v1.44/containers/{TRIAL}/exec", {"Cmd": ["ls"], "AttachStdout": True}),
    Ask("runner", "POST", "/v1.41/networks/create", NETWORK_BODY),
    Ask("swarm", "POST", "/v1.41/secrets/create", SECRET_BODY),
    Ask("builder", "POST", f"/v1.41/images/create?fromImage={R}%2Fann%2Fprog&tag={DIGEST}", {}),
    Ask("builder", "POST", f"/v1.41/images/{R}/ann/prog/push?tag=1", {}),
    Ask("", "GET", "/_ping"),
    Ask("", "GET", "/version"),
    Ask("operator", "POST", "/v1.41/containers/prune", None, ""),
]
ALL_ROLES = ("builder", "runner", "swarm", "operator")


@pytest.mark.parametrize("ask", ALLOWED, ids=lambda a: f"{a.role} {a.method} {a.uri[:60]}")
def test_the_requests_that_the_cases_change_are_allowed(ask: Ask) -> None:
    assert ask.verdict() == {"Allow": True}


WRONG_PATHS = [
    "/v1.41/containers//create", "//v1.41/containers/create", "/v1.41//containers/create", "/v1.41/containers/create/",
    "/v1.41/containers/%63reate", "/v1.41/containers%2fcreate", "/v1.41/./containers/create",
    "/v1.41/images/../containers/create", "/v1.41/containers/x/../create", "/V1.41/containers/create",
    "/v1.41/Containers/create", "/v1.41/containers/CREATE", "/v1.41/v1.41/containers/create",
    "/v1.40/containers/create",
    "/v1.23/containers/create", "/v1/containers/create", "/v2.0/containers/create", "/containers/create",
    "http://engine/v1.41/containers/create", "http:/v1.41/containers/create", "*", "", "/", "/v1.41",
    "/v1.41/containers/create\n", "/v1.41/containers/create#x", "/v1.41/containers\\create",
    "/v1.41/containers/create;x",
    "/v1.41/containers/cre\u0430te", "/v1.41 /containers/create", "/v1.٤١/containers/create",
]  # fmt: skip


@pytest.mark.parametrize("path", WRONG_PATHS)
def test_a_path_written_in_another_way(path: str) -> None:
    refused(Ask("runner", "POST", f"{path}?name={TRIAL}", TRIAL_BODY))


@pytest.mark.parametrize(
    "query",
    [
        f"name={TRIAL}&name=x", f"name={TRIAL}&Name=x", f"name={TRIAL};name=x", f"name={TRIAL}&platform=linux/arm64",
        f"Name={TRIAL}", "", f"name={TRIAL}%0a", f"name={TRIAL}%", f"name={TRIAL}&x", "name=%ff", "name=/etc",
        "name=cyberlab-engine", "name=cyberlab-trial-", f"name={TRIAL}%00",
    ],
)  # fmt: skip
def test_parameters_written_in_another_way(query: str) -> None:
    refused(Ask("runner", "POST", f"/v1.41/containers/create?{query}", TRIAL_BODY))


BODIES: dict[str, bytes | None] = {
    "none": None,
    "empty": b"",
    "blank": b"  ",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "two values": json.dumps(TRIAL_BODY).encode() + b'{"HostConfig":{"Privileged":true}}',
    "a key twice": json.dumps(TRIAL_BODY).encode()[:-1] + b', "HostConfig": {"Privileged": true}}',
    "an inner key twice": json.dumps(TRIAL_BODY).replace('"Init"', '"CapDrop": [], "Init"').encode(),
    "a key in other case": json.dumps(TRIAL_BODY).encode()[:-1] + b', "hostconfig": {"privileged": true}}',
    "an inner key in other case": json.dumps(TRIAL_BODY)
    .replace('"Init"', '"privileged": true, "Init"')
    .encode(),
    "a key with the Kelvin sign": json.dumps(TRIAL_BODY)
    .replace('"Init"', '"Networ\\u212aMode": "host", "Init"')
    .encode(),
    "NaN": json.dumps(TRIAL_BODY).replace(str(128), "NaN").encode(),
    "UTF-16": json.dumps(TRIAL_BODY).encode("utf-16"),
    "not UTF-8": json.dumps(TRIAL_BODY).encode().replace(b"python3", b"\xff"),
    "a mark before": b"\xef\xbb\xbf" + json.dumps(TRIAL_BODY).encode(),
    "too large to be forwarded": json.dumps(changed(TRIAL_BODY, "Env", ["A=" + "x" * 2**20])).encode(),
    "nested without end": b'{"HostConfig":' + b"[" * 100_000,
}


@pytest.mark.parametrize("which", BODIES)
def test_a_body_that_could_be_read_in_two_ways_or_not_at_all(which: str) -> None:
    refused(Ask("runner", "POST", f"/v1.41/containers/create?name={TRIAL}", BODIES[which]))


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", TAR]
)
def test_a_body_of_another_type_was_not_forwarded(kind: str) -> None:
    refused(Ask("runner", "POST", f"/v1.41/containers/create?name={TRIAL}", TRIAL_BODY, kind))


ESCAPES: dict[str, Ask] = {
    "privileged": host("Privileged", True),
    "a host folder": host("Binds", ["/:/host"]),
    "a host folder as a mount": host("Mounts", [{"Type": "bind", "Source": "/", "Target": "/x"}]),
    "a volume": trial("Volumes", {"/x": {}}),
    "volumes of another container": host("VolumesFrom", ["other"]),
    "a device": host("Devices", [{"PathOnHost": "/dev/sda"}]),
    "device rules": host("DeviceCgroupRules", ["a *:* rwm"]),
    "a graphics card": host("DeviceRequests", [{"Count": -1}]),
    "a capability": host("CapAdd", ["SYS_ADMIN"]),
    "an empty list of added capabilities": host("CapAdd", []),
    "capabilities kept": host("CapDrop", ["CHOWN"]),
    "capabilities not mentioned": host("CapDrop", ...),
    "capabilities null": host("CapDrop", None),
    "the host's processes": host("PidMode", "host"),
    "the host's memory segments": host("IpcMode", "host"),
    "the host's name": host("UTSMode", "host"),
    "the host's users": host("UsernsMode", "host"),
    "the host's control groups": host("CgroupnsMode", "host"),
    "another control group": host("CgroupParent", "/"),
    "no seccomp": host("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
    "new privileges": host("SecurityOpt", []),
    "system paths": host("MaskedPaths", []),
    "read-only paths": host("ReadonlyPaths", []),
    "a writable root": host("ReadonlyRootfs", False),
    "a root as writable as 0": host("ReadonlyRootfs", 0),
    "the host's network": host("NetworkMode", "host"),
    "the network of another container": host("NetworkMode", f"container:{'c' * 64}"),
    "the default network": host("NetworkMode", "bridge"),
    "no network named": host("NetworkMode", ...),
    "a second network": trial("NetworkingConfig", {"EndpointsConfig": {"docker_gwbridge": {}}}),
    "a published port": host("PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
    "host names": host("ExtraHosts", ["registry:10.0.0.1"]),
    "another resolver": host("Dns", ["10.0.0.1"]),
    "another runtime": host("Runtime", "other"),
    "kernel settings": host("Sysctls", {"kernel.shmmax": "1"}),
    "a restart for ever": host("RestartPolicy", {"Name": "always"}),
    "a log driver that sends": host("LogConfig", {"Type": "syslog", "Config": {"syslog-address": "udp://10.0.0.1"}}),
    "a log without an end": host("LogConfig", {"Type": "json-file", "Config": {}}),
    "too much memory": host("Memory", GB * 64),
    "no memory limit": host("Memory", 0),
    "a negative memory limit": host("Memory", -1),
    "memory as a text": host("Memory", "1"),
    "memory as a fraction": host("Memory", 1e6),
    "memory true": host("Memory", True),
    "swap": host("MemorySwap", -1),
    "more swap than memory": host("Memory", 10**6),
    "too many processors": host("NanoCpus", 10**12),
    "processors unlimited": host("NanoCpus", 0),
    "processes unlimited": host("PidsLimit", -1),
    "processes not mentioned": host("PidsLimit", ...),
    "no kill when memory ends": host("OomKillDisable", True),
    "a large disk in memory": host("Tmpfs", {"/tmp": "size=99999999999,mode=1777"}),  # noqa: S108
    "a disk in memory without an end": host("Tmpfs", {"/tmp": "mode=1777"}),  # noqa: S108
    "two disks in memory that are too large together": host("Tmpfs", {"/a": "size=40000000", "/b": "size=40000000"}),
    "programs from a disk in memory": host("Tmpfs", {"/tmp": "size=1,exec,dev,suid"}),  # noqa: S108
    "a disk over the secrets": host("Tmpfs", {"/../etc": "size=1"}),
    "root": trial("User", "root"),
    "another program first": trial("Entrypoint", ["/bin/sh"]),
    "an image of elsewhere": trial("Image", f"elsewhere.example/ann/prog@{DIGEST}"),
    "an image that is not pinned": trial("Image", f"{R}/ann/prog:latest"),
    "an image by its id": trial("Image", DIGEST),
    "a base image": trial("Image", "cyberlab/python"),
    "an image with a trick in its name": trial("Image", f"{R}/ann/../cyberlab/x@{DIGEST}"),
    "an image with a line break": trial("Image", f"{R}/ann/prog@{DIGEST}\n"),
    "no cage at all": trial("HostConfig", ...),
    "a cage that is null": trial("HostConfig", None),
}  # fmt: skip


@pytest.mark.parametrize("which", ESCAPES)
def test_a_trial_that_asks_for_more(which: str) -> None:
    assert "runner may not" in refused(ESCAPES[which])


BUILDS: dict[str, Ask] = {
    "BuildKit": build(version=2),
    "a context from elsewhere": build(remote="https://example.com/x.git"),
    "the host's network": build(networkmode="host"),
    "the network of a trial": build(networkmode=f"container:{TRIAL}"),
    "host names": build(extrahosts="registry:10.0.0.1"),
    "layers of another's image": build(cachefrom=json.dumps([f"{R}/ben/prog:1"])),
    "an output": build(outputs='[{"Type":"local"}]'),
    "an isolation": build(isolation="process"),
    "security options": build(securityopt='["seccomp=unconfined"]'),
    "squash": build(squash=1),
    "a session": build(session="x"),
    "no memory limit": build(memory=0),
    "memory not mentioned": build(memory=None),
    "too much memory": build(memory=64 * GB, memswap=64 * GB),
    "memory that Go reads as none": build(memory="1_000"),
    "memory with a sign": build(memory="+1000"),
    "memory in other digits": build(memory="١٠٠٠"),
    "swap without an end": build(memswap=-1),
    "swap": build(memory=10**6),
    "every processor": build(cpuquota=10**9),
    "processors without an end": build(cpuquota=-1),
    "a period that makes the quota large": build(cpuperiod=1000),
    "another control group": build(cgroupparent="/"),
    "no control group": build(cgroupparent=None),
    "the control group, escaped": build(cgroupparent="/cyberlab-builds/../"),
    "no ulimits": build(ulimits=None),
    "empty ulimits": build(ulimits="[]"),
    "a larger file": build(ulimits=json.dumps([
        {"Name": "nofile", "Soft": 1, "Hard": 1}, {"Name": "nproc", "Soft": 1, "Hard": 1},
        {"Name": "fsize", "Soft": 1, "Hard": 2**60}])),
    "a ulimit without an end": build(ulimits=json.dumps([
        {"Name": "nofile", "Soft": 1, "Hard": 1}, {"Name": "nproc", "Soft": -1, "Hard": -1},
        {"Name": "fsize", "Soft": 1, "Hard": 1}])),
    "ulimits in other case": build(ulimits=json.dumps([{"name": "nofile", "soft": 1, "hard": 1}])),
    "containers left behind": build(rm=0),
    "more shared memory": build(shmsize=GB),
    "a name of elsewhere": build(t="elsewhere.example/x/y:1"),
    "a name below no owner": build(t=f"{R}/prog:1"),
    "a name of the engine's own": build(t="debian:latest"),
    "a Dockerfile outside": build(dockerfile="../../etc/passwd"),
    "a build argument of Docker": build(buildargs='{"DOCKER_HOST": "tcp://x"}'),
    "a build argument that is no text": build(buildargs='{"HTTP_PROXY": null}'),
    "a platform with a trick": build(platform="linux/amd64,linux/arm64"),
    "a parameter twice": Ask("builder", "POST", build().uri + "&memory=0", b"tar", TAR),
    "a form that overrides": Ask("builder", "POST", build().uri, b"memory=0", "application/x-www-form-urlencoded"),
    "a form with parts": Ask("builder", "POST", build().uri, b"x", "multipart/form-data; boundary=x"),
    "no type": Ask("builder", "POST", build().uri, b"x", ""),
}  # fmt: skip


@pytest.mark.parametrize("which", BUILDS)
def test_a_build_that_asks_for_more(which: str) -> None:
    assert "builder may not" in refused(BUILDS[which])


CONTAINER = "ContainerSpec"
SERVICES: dict[str, Ask] = {
    "an image that is not pinned": task(f"{CONTAINER}.Image", f"{R}/ann/prog:1"),
    "an image of elsewhere": task(f"{CONTAINER}.Image", f"docker.io/ann/prog@{DIGEST}"),
    "capabilities": task(f"{CONTAINER}.CapabilityAdd", ["ALL"]),
    "capabilities kept": task(f"{CONTAINER}.CapabilityDrop", []),
    "capabilities not mentioned": task(f"{CONTAINER}.CapabilityDrop", ...),
    "a writable root": task(f"{CONTAINER}.ReadOnly", ...),
    "a host folder": task(f"{CONTAINER}.Mounts", [{"Type": "bind", "Source": "/", "Target": "/x"}]),
    "a host folder called tmpfs": task(
        f"{CONTAINER}.Mounts", [{"Type": "tmpfs", "Source": "/", "Target": "/x", "TmpfsOptions": {"SizeBytes": 1}}]
    ),
    "a volume": task(f"{CONTAINER}.Mounts", [{"Type": "volume", "Source": "v", "Target": "/x"}]),
    "a disk in memory without an end": task(f"{CONTAINER}.Mounts", [{"Type": "tmpfs", "Target": "/x"}]),
    "privileges": task(f"{CONTAINER}.Privileges", {"SELinuxContext": {"Disable": True}}),
    "kernel settings": task(f"{CONTAINER}.Sysctls", {"a": "b"}),
    "root": task(f"{CONTAINER}.User", "root"),
    "groups": task(f"{CONTAINER}.Groups", ["disk"]),
    "host names": task(f"{CONTAINER}.Hosts", ["10.0.0.1 registry"]),
    "another resolver": task(f"{CONTAINER}.DNSConfig", {"Nameservers": ["10.0.0.1"]}),
    "no isolation": task(f"{CONTAINER}.Isolation", "process"),
    "another program first": task(f"{CONTAINER}.Command", ["sh"]),
    "ulimits": task(f"{CONTAINER}.Ulimits", [{"Name": "nproc", "Soft": -1, "Hard": -1}]),
    "no resources": task("Resources", ...),
    "memory without an end": task("Resources.Limits.MemoryBytes", 0),
    "too much memory": task("Resources.Limits.MemoryBytes", 64 * GB),
    "processes without an end": task("Resources.Limits.Pids", ...),
    "all processors": task("Resources.Limits.NanoCPUs", 10**12),
    "generic resources": task("Resources.Reservations.GenericResources", []),
    "any node": task("Placement.Constraints", []),
    "no placement": task("Placement", ...),
    "nodes by a name that they claim": task("Placement.Constraints", ["node.hostname == pi01"]),
    "nodes by a label that they claim": task("Placement.Constraints", ["engine.labels.x == 1"]),
    "the manager": task("Placement.Constraints", ["node.role == manager"]),
    "every device": task("Placement.Constraints", ["node.labels.cyberlab.d.d0a1 != 1"]),
    "a network": task("Networks", [{"Target": "host"}]),
    "a network of the old way": service("Networks", [{"Target": "host"}]),
    "a plugin": task("Runtime", "plugin"),
    "a plugin's description": task("PluginSpec", {"Name": "x"}),
    "a task attached to a network": task("NetworkAttachmentSpec", {}),
    "restarts without a pause": task("RestartPolicy.Delay", 0),
    "a log driver that sends": task("LogDriver", {"Name": "gelf", "Options": {}}),
    "a thousand copies": service("Mode", {"Replicated": {"Replicas": 1000}}),
    "a job": service("Mode", {"GlobalJob": {}}),
    "the swarm's load balancer": service("EndpointSpec.Mode", "vip"),
    "a port through the load balancer": service("EndpointSpec.Ports.0.PublishMode", "ingress"),
    "a port of the system": service("EndpointSpec.Ports.0.PublishedPort", 22),
    "another lab's name": service("Name", "other-x"),
    "an update of another kind": Ask("swarm", "POST", "/v1.41/services/s1/update?version=1&rollback=x", SERVICE_BODY),
    "an update without the body": Ask("swarm", "POST", "/v1.41/services/s1/update?version=1&rollback=previous", None),
    "a promotion": node("Role", "manager"),
    "a role not mentioned": node("Role", ...),
    "a role in other case": node("role", "manager"),
    "a secret of another name": Ask("swarm", "POST", "/v1.41/secrets/create", changed(SECRET_BODY, "Name", "x")),
    "a secret from a driver": Ask("swarm", "POST", "/v1.41/secrets/create", changed(SECRET_BODY, "Driver", {})),
    "the join tokens": Ask("swarm", "GET", "/v1.41/swarm"),
    "the key of the swarm": Ask("swarm", "GET", "/v1.41/swarm/unlockkey"),
    "leaving": Ask("swarm", "POST", "/v1.41/swarm/leave?force=1", {}),
    "a node's removal": Ask("swarm", "DELETE", "/v1.41/nodes/n1?force=1"),
}  # fmt: skip


@pytest.mark.parametrize("which", SERVICES)
def test_a_service_that_asks_for_more(which: str) -> None:
    assert "swarm may not" in refused(SERVICES[which])


OTHERS: dict[str, Ask] = {
    "a command as root": Ask("runner", "POST", f"/v1.41/containers/{TRIAL}/exec", {"Cmd": ["id"], "User": "root"}),
    "a privileged command": Ask(
        "runner", "POST", f"/v1.41/containers/{TRIAL}/exec", {"Cmd": ["id"], "Privileged": True}
    ),
    "a command in somebody's container": Ask("runner", "POST", f"/v1.41/containers/{'c' * 64}/exec", {"Cmd": ["id"]}),
    "a start with a description, as of old": Ask(
        "runner", "POST", f"/v1.23/containers/{TRIAL}/start", {"Binds": ["/:/x"]}
    ),
    "a start with a description": Ask("runner", "POST", f"/v1.41/containers/{TRIAL}/start", {"Binds": ["/:/x"]}),
    "a start without a body": Ask("runner", "POST", f"/v1.41/containers/{TRIAL}/start", None),
    "files into a trial": Ask("runner", "PUT", f"/v1.41/containers/{TRIAL}/archive?path=/", b"tar", TAR),
    "other limits afterwards": Ask("runner", "POST", f"/v1.41/containers/{TRIAL}/update", {"Memory": 0}),
    "an image made of a container": Ask("runner", "POST", f"/v1.41/commit?container={TRIAL}", {}),
    "another name": Ask("runner", "POST", f"/v1.41/containers/{TRIAL}/rename?name=x", {}),
    "a second network later": Ask("runner", "POST", "/v1.41/networks/cyberlab-trials/connect", {"Container": TRIAL}),
    "a network where containers talk": Ask(
        "runner", "POST", "/v1.41/networks/create",
        changed(NETWORK_BODY, "Options|com.docker.network.bridge.enable_icc", "true"),
    ),
    "a network of the host's card": Ask(
        "runner", "POST", "/v1.41/networks/create", changed(NETWORK_BODY, "Driver", "macvlan")
    ),
    "a network with addresses of its own": Ask(
        "runner", "POST", "/v1.41/networks/create", changed(NETWORK_BODY, "IPAM", {"Config": []})
    ),
    "a network with another name": Ask(
        "runner", "POST", "/v1.41/networks/create", changed(NETWORK_BODY, "Name", "docker_gwbridge")
    ),
    "an image from elsewhere": Ask("builder", "POST", "/v1.41/images/create?fromImage=debian&tag=latest", {}),
    "an image from an address": Ask("builder", "POST", "/v1.41/images/create?fromSrc=http://x/y", {}),
    "a base poisoned": Ask("builder", "POST", f"/v1.41/images/{R}/ann/prog:1/tag?repo=cyberlab/python&tag=latest", {}),
    "a base poisoned, the other way": Ask(
        "builder", "POST", "/v1.41/images/cyberlab/python/tag?repo=cyberlab/node&tag=latest", {}
    ),
    "an image sent elsewhere": Ask("builder", "POST", "/v1.41/images/elsewhere.example/x/push?tag=1", {}),
    "a base removed": Ask("builder", "DELETE", "/v1.41/images/cyberlab/python"),
    "every image removed": Ask("builder", "POST", '/v1.41/images/prune?filters={"dangling":["false"]}', {}),
    "an image taken out": Ask("builder", "GET", f"/v1.41/images/{R}/ann/prog/get"),
    "a container started by the builder": Ask(
        "builder", "POST", "/v1.41/containers/cyberlab-reading-00000000/start", {}
    ),
    "a container made to run": Ask("builder", "POST", f"/v1.41/containers/create?name={TRIAL}", TRIAL_BODY),
    "a reading container with a network": Ask(
        "builder", "POST", "/v1.41/containers/create?name=cyberlab-reading-00000000",
        changed(changed(TRIAL_BODY, "Image", DIGEST), "HostConfig.NetworkMode", "cyberlab-trials"),
    ),
    "a file of a trial": Ask("builder", "GET", f"/v1.41/containers/{TRIAL}/archive?path={VERSION}"),
    "another file of a base": Ask(
        "builder", "GET", "/v1.41/containers/cyberlab-reading-00000000/archive?path=/etc/shadow"
    ),
    "the swarm thrown away": Ask("operator", "POST", "/v1.41/swarm/init", {"forceNewCluster": True}),
    "a container of the operator": Ask("operator", "POST", f"/v1.41/containers/create?name={TRIAL}", TRIAL_BODY),
    "a command of the operator": Ask("operator", "POST", f"/v1.41/containers/{TRIAL}/exec", {"Cmd": ["id"]}),
    "a plugin": Ask("operator", "POST", "/v1.41/plugins/pull?remote=x", {}),
    "a form with which to load": Ask(
        "operator", "POST", "/v1.41/images/load", b"quiet=1", "application/x-www-form-urlencoded"
    ),
    "BuildKit's way in": Ask("builder", "POST", "/v1.41/session", {}),
    "BuildKit's other way in": Ask("builder", "POST", "/v1.41/grpc", {}),
    "the events": Ask("runner", "GET", "/v1.41/events"),
    "a login": Ask("builder", "POST", "/v1.41/auth", {"username": "x"}),
    "the internals": Ask("operator", "GET", "/debug/vars"),
    "a method that nobody uses": Ask("runner", "PATCH", f"/v1.41/containers/{TRIAL}/json"),
    "a look through HEAD": Ask("runner", "HEAD", f"/v1.41/containers/{TRIAL}/json"),
    "options": Ask("runner", "OPTIONS", "/v1.41/containers/json"),
}  # fmt: skip


@pytest.mark.parametrize("which", OTHERS)
def test_other_ways_in(which: str) -> None:
    assert " may not " in refused(OTHERS[which])


@pytest.mark.parametrize(
    "ask", [a for a in ALLOWED if a.role and "/version" not in a.uri], ids=lambda a: a.uri[:60]
)
@pytest.mark.parametrize("role", ["", *ALL_ROLES, "engine", "token-signer", "Builder", "builder ", "root"])
def test_what_one_role_may_no_other_may(ask: Ask, role: str) -> None:
    shared = role == "operator" and ask.uri.startswith("/v1.41/nodes/")
    if role != ask.role and not shared:
        refused(Ask(role, ask.method, ask.uri, ask.body, ask.kind))


@pytest.mark.parametrize(
    "path", ["/v1.41/info", "/v1.41/containers/json", "/v1.41/images/json", "/v1.41/swarm", "/info"]
)
def test_without_a_certificate_nothing_is_shown(path: str) -> None:
    assert refused(Ask("", "GET", path)).startswith("nobody may not")


def test_a_role_that_no_certificate_proves_is_none() -> None:
    asked = question("builder", "GET", "/v1.41/info")
    assert answer(asked, TABLE)["Allow"]
    assert not answer(asked | {"UserAuthNMethod": ""}, TABLE)["Allow"]
    assert not answer(asked | {"UserAuthNMethod": "basic"}, TABLE)["Allow"]


@pytest.mark.parametrize(
    "question_", [{}, {"User": 1, "RequestHeaders": []}, {"RequestBody": "%%%"}, {"RequestUri": None}]
)
def test_a_question_that_makes_no_sense(question_: dict[str, Any]) -> None:
    assert not answer(question_, TABLE)["Allow"]


def test_a_refusal_is_a_line_in_the_log_and_holds_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "hunter2"
    body = changed(TRIAL_BODY, "Env", [f"PASSWORD={secret}"]) | {"Privileged": True}
    refused(Ask("runner", "POST", f"/v1.41/containers/create?name={TRIAL}&password={secret}", body))
    refused(Ask("builder", "POST", f"{build().uri}&remote={secret}", b"", TAR))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["role"] for line in lines] == ["runner", "builder"]
    assert all(line["why"] and line["path"] and line["at"] for line in lines)
    assert secret not in json.dumps(lines)


@pytest.mark.parametrize(
    "change",
    [
        lambda given: given.pop("run_memory"), lambda given: given.update(more=1),
        lambda given: given.update(run_cpus=0), lambda given: given.update(registry=""),
        lambda given: given.update(build_memory="1"),
        lambda given: given.update(run_processes=True),
    ],
)  # fmt: skip
def test_limits_that_are_none_are_not_taken(change: Callable[[dict[str, Any]], object]) -> None:
    given = limits.ceilings(SETTINGS, 4)
    assert ceilings.read(json.dumps(given)) == LIMITS
    change(given)
    with pytest.raises(ValueError, match=r"limit"):
        ceilings.read(json.dumps(given))


def refused(ask: Ask) -> str:
    """Why."""
    verdict = ask.verdict()
    assert verdict["Allow"] is False, "this was allowed"
    assert "could not be applied" not in verdict["Msg"], verdict["Msg"]
    return str(verdict["Msg"])
