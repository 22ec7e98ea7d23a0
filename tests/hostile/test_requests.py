"""Requests that are not what they seem: odd headers and paths, huge, slow, deep or broken bodies, streams by the hundred.

While one of them runs, Ben is answered.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
from cyberlab.errors import SpecRefused
from cyberlab.wire import API
from cyberlab_hub import reach
from hostile.attack import Attack, Scene, table
from hostile.scene import wait_until
from hostile.watch import memory_free

MB = 2**20


def connect(scene: Scene, url: str = "") -> socket.socket:
    return reach.open_socket(scene.settings, url or scene.settings.lab_url, seconds=20)


def spoken(scene: Scene, request: bytes, url: str = "") -> bytes:
    """What is answered to these bytes, until the other side closes or is silent for two seconds."""
    with connect(scene, url) as line:
        line.sendall(request)
        line.settimeout(2)
        heard = b""
        try:
            while piece := line.recv(65536):
                heard += piece
                if len(heard) > MB:
                    break
        except (TimeoutError, ConnectionResetError):
            pass
        return heard


def head(scene: Scene, line: str, *headers: str, token: str | None = None) -> bytes:
    """A request's head with Mallory's token, as text that no library has tidied."""
    lines = [
        f"{line} HTTP/1.1",
        "Host: lab",
        f"Authorization: Bearer {token or scene.mallory.token}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def statuses(answer: bytes) -> list[int]:
    """Of each answer on the line."""
    lines = answer.split(b"\r\n")
    return [int(line.split()[1]) for line in lines if line.startswith(b"HTTP/1.1 ")]


def assert_ben_is_answered(scene: Scene, seconds: float = 10) -> None:
    answer = scene.ben.http.get("/jobs", timeout=seconds)
    assert answer.status_code == 200
    assert scene.ben.http.get("/health", timeout=seconds).status_code == 200


# ---------------------------------------------------------------- heads
def _odd_tokens(scene: Scene) -> None:
    token = scene.mallory.token
    for odd in ("", " ", "\xff\xfe", f"{token}\x0b", f"{token} admin", "a" * 5000, f"{token},{token}"):
        answer = spoken(scene, head(scene, f"GET {API}/me", "Connection: close", token=odd or " "))
        assert statuses(answer) in ([400], [401]), f"{odd!r}: {answer[:200]!r}"


def _nul_in_a_header(scene: Scene) -> None:
    answer = spoken(scene, head(scene, f"GET {API}/me", "X-Note: a\0b", "Connection: close"))
    assert statuses(answer) == [400]


def _folded_header(scene: Scene) -> None:
    """A second line of a header that would become another header elsewhere."""
    request = f"GET {API}/me HTTP/1.1\r\nHost: lab\r\nX-Note: a\r\n Authorization: Bearer {scene.mallory.token}\r\n\r\n"
    assert statuses(spoken(scene, request.encode())) in ([400], [401])


def _endless_head(scene: Scene) -> None:
    filler = "\r\n".join(f"X-{number}: {'a' * 1000}" for number in range(2000))
    answer = spoken(scene, head(scene, f"GET {API}/me", filler))
    assert statuses(answer) in ([400], [431], []), answer[:200]
    assert_ben_is_answered(scene)


def _huge_address(scene: Scene) -> None:
    answer = spoken(scene, head(scene, f"GET {API}/query?q={'a' * 300_000}"))
    assert statuses(answer) in ([400], [414], [431], []), answer[:200]


def _smuggle(scene: Scene) -> None:
    """Two lengths: a proxy and a service that believe different ones would see a request of somebody else."""
    hidden = f"DELETE {API}/deployments/{scene.ben.deployment} HTTP/1.1\r\nHost: lab\r\n\r\n"
    for url in (scene.settings.lab_url, scene.settings.public_url):
        for headers in (
            (f"Content-Length: {len(hidden) + 5}", "Transfer-Encoding: chunked"),
            (
                "Transfer-Encoding: chunked",
                "Transfer-Encoding: identity",
                f"Content-Length: {len(hidden) + 5}",
            ),
            ("Transfer-Encoding : chunked", f"Content-Length: {len(hidden) + 5}"),
            ("Content-Length: 5", f"Content-Length: {len(hidden) + 5}"),
        ):
            request = head(scene, f"POST {API}/write", "Content-Type: text/plain", *headers)
            answer = spoken(scene, request + b"0\r\n\r\n" + hidden.encode(), url)
            assert not [s for s in statuses(answer) if s in (202, 204)], f"{headers}: {answer[:300]!r}"
    assert scene.ben.lab.deployment("hut").name == "hut"


# ---------------------------------------------------------------- paths
def _odd_paths(scene: Scene) -> None:
    ben, job = scene.ben, scene.ben.job
    for path in (
        f"{API}/jobs/../jobs/{job}",
        f"{API}/jobs/%2e%2e/jobs/{job}",
        f"{API}/jobs//{job}",
        f"{API}//jobs/{job}",
        f"{API}/JOBS/{job}",
        f"{API}/jobs/{job}%00",
        f"{API}/jobs/{job}%0a",
        f"{API}/jobs/{job}%20",
        f"{API}/jobs/{job};owner={ben.name}",
        f"{API}/jobs/{job.upper()}",
        f"{API}/jobs/%25",
        f"{API}/jobs/x%2f..%2f{job}",
        f"{API}/specs/..%2f..%2f..%2fetc%2fpasswd",
        f"{API}/specs/{ben.name}%2fhut",
        f"{API}/jobs?owner={ben.name}&caller={ben.name}",
        f"{API}/specs?owner={ben.name}",
        f"{API}/images?owner={ben.name}&name=hut",
        f"{API}/deployments/{ben.name}%2fhut",
        f"{API}/deployments/{ben.name}.hut/logs",
        "/services/lab/../../etc/passwd",
        "/services/lab/api/v1/../../../hub/api/users",
        f"http://lab{API}/jobs/{job}",
    ):
        answer = spoken(scene, head(scene, f"GET {path}", "Connection: close"))
        found = statuses(answer)
        assert found[:1], f"{path}: no answer"
        assert found[0] in (200, 400, 401, 404, 405, 422), f"{path}: {answer[:200]!r}"
        scene.assert_nothing_of_ben(answer.decode(errors="replace"))
        assert job.encode() not in answer.replace(path.encode(), b"") or found[0] != 200, path
        assert b"root:" not in answer


def _spec_names_with_paths(scene: Scene) -> None:
    spec = scene.mallory.lab.catalogue()
    assert spec.bases
    body = {"name": "x", "files": []}
    for name in (
        "..%2f..%2fetc%2fcron.d%2fx",
        "%2e%2e",
        "a%00b",
        "a%0ab",
        "x" * 5000,
        "%E2%80%AEfdp",
        "CON",
        ".",
        "~root",
    ):
        answer = scene.mallory.http.put(f"/specs/{name}", json=body)
        assert answer.status_code in (404, 405, 422), f"{name}: {answer.status_code}"
    assert not scene.mallory.lab.specs()


def _another_hosts_name(scene: Scene) -> None:
    """A false Host must not come back as an address to go to."""
    request = f"GET {API}/jobs/ HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer {scene.mallory.token}\r\n\r\n"
    answer = spoken(scene, request.encode())
    assert b"evil.example" not in answer, answer[:300]


# ---------------------------------------------------------------- bodies
def _post(
    scene: Scene, path: str, body: bytes, kind: str = "application/json", **more: str
) -> httpx.Response:
    return scene.mallory.http.post(path, content=body, headers={"Content-Type": kind, **more}, timeout=60)


def _too_large(scene: Scene) -> None:
    try:
        answer = _post(scene, "/builds", b" " * (13 * MB))
    except httpx.TransportError:
        return  # closed before it was sent: refused all the same
    assert answer.status_code == 413


def _endless(scene: Scene) -> None:
    """Chunk after chunk with no length announced: counted, not believed."""
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(400):
            sent += MB
            yield b"a" * MB

    before = memory_free()
    try:
        answer = scene.mallory.http.post("/builds", content=chunks(), timeout=60)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass
    assert sent < 100 * MB, f"{sent // MB} MB were taken"
    assert before - memory_free() < 600 * MB


def _announces_more(scene: Scene) -> None:
    """A petabyte in the header, or a negative number, or words."""
    for length in ("1125899906842624", "-1", "0x10", "1e3", "9" * 40):
        answer = spoken(scene, head(scene, f"POST {API}/builds", f"Content-Length: {length}"))
        assert statuses(answer) in ([400], [413], []), f"{length}: {answer[:200]!r}"


def _broken_json(scene: Scene) -> None:
    spec = b'{"spec": {"name": "x", "base": "python", "command": %s}}'
    bodies = [
        b"[" * 100_000,
        b'{"spec":' * 50_000,
        b"[" * 50_000 + b"]" * 50_000,
        b'{"spec": null}',
        b"null",
        b'"\\ud800"',
        spec % b'["\\ud800\\udc00\\ud800"]',
        spec % b"[1e999, NaN, -Infinity]",
        spec % (b"[" + b"9" * 5000 + b"]"),
        b"\xff\xfe{\x00}\x00",
        b"\x00\x00\x00{",
        b'{"spec": {}, "spec": {}, "owner": "ben"}',
        b'{"__proto__": {"admin": true}, "spec": {"name": "__class__"}}',
        b'{"spec": {"name": "x", "env": '
        + json.dumps({f"A{n}": "x" for n in range(50_000)}).encode()
        + b"}}",
        b'{"spec": {"name": "x", "pip": ' + json.dumps(["a"] * 100_000).encode() + b"}}",
    ]
    for body in bodies:
        for path in ("/builds", "/trials", "/deployments"):
            answer = _post(scene, path, body)
            assert answer.status_code in (400, 413, 422), f"{path} {body[:40]!r}: {answer.status_code}"
            assert len(answer.content) < MB, f"{body[:40]!r} is answered with {len(answer.content)} bytes"
    assert_ben_is_answered(scene)


def _other_kinds(scene: Scene) -> None:
    """Bodies of other kinds than the one described."""
    zipped = bytes.fromhex("1f8b08000000000000034b4c4a06002441c23503000000")
    for kind, body, more in (
        ("application/xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', {}),
        ("application/x-www-form-urlencoded", b"image=hut", {}),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nhut\r\n--x--',
            {},
        ),
        ("application/json", zipped, {"Content-Encoding": "gzip"}),
        ("application/x-yaml", b"!!python/object/apply:os.system ['id']", {}),
        ("application/json; charset=utf-7", b"+AHs-", {}),
    ):
        answer = _post(scene, "/trials", body, kind, **more)
        assert answer.status_code in (400, 415, 422), f"{kind}: {answer.status_code} {answer.text[:200]}"
        assert "root:" not in answer.text


# ---------------------------------------------------------------- slow and many
@contextmanager
def _many_lines(scene: Scene, number: int, first: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(scene)) for _ in range(number)]
        for line in lines:
            line.sendall(first)
        yield lines


def _slow_heads(scene: Scene) -> None:
    """Four hundred connections that never finish their first line but one."""
    with _many_lines(scene, 400, f"GET {API}/me HTTP/1.1\r\nHost: lab\r\nX-A: ".encode()) as lines:
        for _ in range(3):
            for line in lines:
                line.sendall(b"a")
            assert_ben_is_answered(scene)


def _slow_bodies(scene: Scene) -> None:
    """Two hundred requests that announce a megabyte and send a byte now and then: no worker may wait for them."""
    first = head(scene, f"POST {API}/builds", "Content-Type: application/json", f"Content-Length: {MB}")
    with _many_lines(scene, 200, first) as lines:
        for _ in range(3):
            for line in lines:
                line.sendall(b" ")
            assert_ben_is_answered(scene)


def _slow_readers(scene: Scene) -> None:
    """A hundred who ask for the whole description and read none of it."""
    request = head(scene, f"GET {API}/openapi.json") * 5
    with _many_lines(scene, 100, request):
        assert_ben_is_answered(scene)


def _many_event_streams(scene: Scene) -> None:
    """Two hundred streams on a job of her own that waits."""
    handle = scene.mallory.lab.start_trial(_image(scene), seconds=120, command=("sleep", "100"))
    try:
        request = head(scene, f"GET {API}/jobs/{handle.id}/events")
        with _many_lines(scene, 200, request):
            wait_until("the trial", lambda: handle.refresh().started is not None)
            assert_ben_is_answered(scene)
    finally:
        handle.cancel()


def _many_logs(scene: Scene) -> None:
    """Logs of a deployment, each held by a thread: a quota ends it, and Ben's log opens all the same."""
    lab = scene.mallory.lab
    lab.deploy(_image(scene), name="talker", devices=[scene.ben.device], show=False, timeout=120)
    try:
        request = head(scene, f"GET {API}/deployments/talker/logs?follow=true")
        with _many_lines(scene, 40, request) as lines:
            codes = []
            for line in lines:
                line.settimeout(15)
                codes += statuses(line.recv(4096))
            assert 429 in codes, codes
            assert list(scene.ben.lab.deployment_logs("hut", tail=5))
    finally:
        lab.stop("talker")


def _many_requests(scene: Scene) -> None:
    """Six hundred requests on one line, sent before any is answered."""
    request = head(scene, f"GET {API}/catalogue") * 600
    with connect(scene) as line:
        line.sendall(request)
        assert_ben_is_answered(scene)


def _image(scene: Scene) -> str:
    """An image of Mallory's that waits."""

    def make() -> str:
        from hostile.scene import small_spec

        image = scene.mallory.lab.build(
            small_spec("waits", "import time; time.sleep(900)"), show=False, timeout=120
        )
        return f"waits:{image.version}"

    return scene.once("an image of Mallory's that waits", make)


# ---------------------------------------------------------------- her own requests about his things
def _bens_image(how: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        ben = scene.ben
        for image in (
            f"{ben.name}/hut:1",
            f"{ben.name}/hut",
            "hut:1",
            f"../{ben.name}/hut:1",
            f"x/../{ben.name}/hut",
        ):
            body: dict[str, object] = {"image": image}
            if how == "deployments":
                body |= {"name": "taken", "devices": [ben.device]}
            answer = scene.mallory.http.post(f"/{how}", json=body)
            assert answer.status_code in (404, 422), f"{image}: {answer.status_code} {answer.text[:200]}"

    return run


def _bens_deployments_name(scene: Scene) -> None:
    """A deployment of hers with the name of his: two things, each its owner's."""
    lab = scene.mallory.lab
    lab.deploy(_image(scene), name="hut", devices=[scene.ben.device], show=False, timeout=120)
    try:
        assert scene.ben.lab.deployment("hut").image.endswith("hut:1")
        assert lab.deployment("hut").image.endswith(_image(scene))
    finally:
        lab.stop("hut")
    assert {task.state for task in scene.ben.lab.deployment("hut").tasks} == {"running"}


def _forged_share(scene: Scene) -> None:
    """Ben's readings, shared with Mallory by Mallory."""
    mallory, ben = scene.mallory, scene.ben
    assert mallory.http.put(f"/shares/{mallory.name}").status_code == 422
    for body in ({"owner": ben.name}, {"owner": ben.name, "reader": mallory.name}):
        mallory.http.put(f"/shares/{scene.carla.name}", json=body, params={"owner": ben.name})
    mallory.http.delete(f"/shares/{scene.carla.name}", params={"owner": ben.name})
    for reader in (
        f"{mallory.name}%2f..%2f{ben.name}",
        "..",
        "*",
        "%00",
        f"{mallory.name}%20",
        "' OR '1'='1",
    ):
        assert mallory.http.put(f"/shares/{reader}").status_code in (404, 405, 422)
    assert {(s.owner, s.reader) for s in ben.lab.shares()} == {(ben.name, scene.carla.name)}
    assert mallory.http.get("/measurements", params={"db": ben.name}).status_code == 403


def _writes_into_bens_database(scene: Scene) -> None:
    """Points whose tags, address or name claim to be Ben's."""
    http, ben = scene.mallory.http, scene.ben
    before = scene.ben.lab.query('SELECT count(*) FROM "diary"').to_csv()
    for params in ({"db": ben.name}, {"owner": ben.name}, {"database": ben.name}, {"rp": f'"{ben.name}"."x'}):
        http.post(
            "/write",
            params=params,
            content=b"diary room=1 1700000000000000000",
            headers={"Content-Type": "text/plain"},
        )
    http.post(
        "/write",
        content=b"diary,deployment=hut value=9 1700000000000000000",
        headers={"Content-Type": "text/plain"},
    )
    assert scene.ben.lab.query('SELECT count(*) FROM "diary"').to_csv() == before
    assert "hut" not in scene.mallory.lab.query("SHOW TAG VALUES WITH KEY = deployment").to_csv()


def _secrets_in_her_environment(scene: Scene) -> None:
    """Variables that the lab itself sets, and templates that the swarm would expand."""
    for env in (
        {"CYBERLAB_TOKEN_FILE": "/etc/shadow"},
        {"LD_PRELOAD\0": "x"},
        {"A": "{{.Service.Labels}}"},
        {"A=B": "x"},
    ):
        try:
            handle = scene.mallory.lab.start_trial(_image(scene), seconds=5, env=env)
        except SpecRefused:
            continue
        handle.cancel()
        raise AssertionError(f"{env} was taken")


def _attack(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack("requests", name, tries, must_hold, layer, run)


ANSWERED = "Ben is answered"
ATTACKS = (
    _attack("odd-tokens", "sends control characters, lists, 5 KB of token", "400 or 401", "token", _odd_tokens),
    _attack("nul-in-a-header", "sends a header with NUL", "400", "guard", _nul_in_a_header),
    _attack("folded-header", "hides a header in a second line", "it is not read as one", "guard", _folded_header),
    _attack("endless-head", "sends 2 MB of headers", f"refused; {ANSWERED}", "guard", _endless_head),
    _attack("huge-address", "sends an address of 300 KB", "refused", "guard", _huge_address),
    _attack("smuggle", "hides a request in a body with two lengths", "it is not carried out", "guard", _smuggle),
    _attack("odd-paths", "asks for Ben's things by 22 odd paths", "nothing of Ben's is seen", "owner check", _odd_paths),
    _attack("spec-names-with-paths", "saves forms whose names climb", "refused", "policy", _spec_names_with_paths),
    _attack("another-hosts-name", "claims to be on another host", "it is not sent back as an address", "guard", _another_hosts_name),
    _attack("body-too-large", "sends 13 MB", "refused", "guard", _too_large),
    _attack("body-endless", "sends chunks without end", "cut off after the limit; memory steady", "guard", _endless),
    _attack("body-announces-more", "announces a petabyte", "refused", "guard", _announces_more),
    _attack("body-broken-json", "sends JSON that is deep, broken, huge or odd", f"refused, short; {ANSWERED}", "policy", _broken_json),
    _attack("body-other-kinds", "sends XML, forms, YAML, gzip", "refused", "policy", _other_kinds),
    _attack("slow-heads", "holds 400 connections with half a head", ANSWERED, "guard", _slow_heads),
    _attack("slow-bodies", "holds 200 requests with half a body", ANSWERED, "guard", _slow_bodies),
    _attack("slow-readers", "asks much and reads nothing", ANSWERED, "guard", _slow_readers),
    _attack("many-requests", "sends 600 requests on one line", ANSWERED, "guard", _many_requests),
    _attack("many-event-streams", "watches one job 200 times", ANSWERED, "guard", _many_event_streams),
    _attack("many-logs", "follows a log 40 times", "a quota says no; Ben's log opens", "quota", _many_logs),
    _attack("try-bens-image", "starts a trial of Ben's image", "not found", "owner check", _bens_image("trials")),
    _attack("deploy-bens-image", "deploys Ben's image", "not found", "owner check", _bens_image("deployments")),
    _attack("bens-deployments-name", "deploys under the name of Ben's", "Ben's is untouched", "owner check", _bens_deployments_name),
    _attack("forged-share", "shares Ben's readings with herself", "Ben's shares are as before", "owner check", _forged_share),
    _attack("write-into-bens-database", "writes points as Ben", "Ben's readings are as before", "owner check", _writes_into_bens_database),
    _attack("reserved-environment", "sets the lab's own variables", "refused", "policy", _secrets_in_her_environment),
)  # fmt: skip


@table(ATTACKS)
def test_requests(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
