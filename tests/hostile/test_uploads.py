"""Archives that try to fill, to climb, or to mean two things: each is refused, and the service stays as it is."""

from __future__ import annotations

from functools import partial

import pytest
from bad_archives import MB, Bad, cases, zipped
from hostile.attack import Attack, Scene, table
from hostile.scene import in_background
from hostile.watch import PartProcess

MEMORY_BYTES = 120 * MB
"""What unpacking may add to the service: the archive, the files of a spec, an xz dictionary."""
WRITTEN_BYTES = 3 * MB
"""Rows of the audit and of the log."""
OF_THE_GUARD = {"an archive of 9 MB": ("body-too-large", 413), "nothing": ("request-invalid", 422)}
"""What does not get as far as the archive's own readers."""


def upload(bad: Bad, scene: Scene) -> None:
    service, packed = PartProcess(scene.settings, "lab"), bad.make()
    code, status = OF_THE_GUARD.get(bad.tries, (bad.code, 422))
    memory, written = service.memory(), service.written()
    answers = []

    def send() -> None:
        answers.append(scene.mallory.http.post("/files/unpack", content=packed))

    sent = in_background(send)
    assert scene.ben.http.get("/images").status_code == 200, "Ben is not answered meanwhile"
    sent()
    (answer,) = answers
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text[:500]
    assert answer.json()["error"]["message"].isprintable()
    assert service.memory() - memory < MEMORY_BYTES, "the service keeps what it was sent"
    assert service.written() - written < WRITTEN_BYTES, "the service wrote what it was sent"


def attack(bad: Bad) -> Attack:
    name = "".join(char if char.isalnum() else "-" for char in bad.tries.lower()).strip("-")
    layer = "guard" if bad.tries in OF_THE_GUARD else "archive reader"
    return Attack(
        "uploads",
        name,
        bad.tries,
        "refused, nothing is written, Ben is answered",
        layer,
        partial(upload, bad),
    )


def flood(scene: Scene) -> None:
    """Many bombs at once: some are unpacked and refused, the others are told to wait; Ben still unpacks his own."""
    service = PartProcess(scene.settings, "lab")
    memory = service.memory()
    packed = zipped(*((f"{number}", bytes(900_000)) for number in range(60)))
    codes: list[str] = []

    def send() -> None:
        answer = scene.mallory.http.post("/files/unpack", content=packed)
        codes.append(answer.json()["error"]["code"])

    waits = [in_background(send) for _ in range(20)]
    mine = scene.ben.http.post("/files/unpack", content=zipped(("main.py", b"print(1)")))
    for wait in waits:
        wait()
    assert mine.status_code == 200, mine.text
    assert set(codes) <= {"files-too-large", "quota-uploads"}
    assert service.memory() - memory < 2 * MEMORY_BYTES


def without_token(scene: Scene) -> None:
    answer = scene.mallory.http.post(
        "/files/unpack", content=zipped(("a", b"x")), headers={"Authorization": "Bearer x"}
    )
    assert answer.status_code == 401


MORE = (
    Attack(
        "uploads", "flood", "sends 20 bombs at once", "few are unpacked at once, Ben's is too", "quota", flood
    ),
    Attack(
        "uploads",
        "stranger",
        "sends an archive without being known",
        "nothing is unpacked",
        "token",
        without_token,
    ),
)


@pytest.mark.timeout(120)
@table(tuple(map(attack, cases())) + MORE)
def test_uploads(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
