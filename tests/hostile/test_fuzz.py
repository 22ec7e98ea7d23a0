"""The OpenAPI description against the real lab service: what it describes is what it does, whatever is sent.

schemathesis makes requests from the description, ones that fit it and ones that do not. For each answer: no fault of ours
(5xx), no status and no form that the description does not name, and nothing of another user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hostile.scene import Scene
from schemathesis import GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    # it suspects a strategy whenever another thread of this process draws a random number meanwhile
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

EXAMPLES = 8
"""Requests for each operation, as each kind of caller."""
WITHOUT_END = ("/events", "/logs")
"""Streams: an answer that goes on until the client leaves. `test_requests.py` attacks them."""
DESCRIBED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def operations(scene: Scene) -> Iterator[Any]:
    document = scene.mallory.http.get("/openapi.json").json()
    for found in openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        if not operation.path.endswith(WITHOUT_END):
            yield operation


def fuzz(scene: Scene, operation: Any, mode: GenerationMode, token: str) -> None:
    """Raises AssertionError or schemathesis' own failures."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case: schemathesis.Case) -> None:
        # a token of its own making is another test's business
        case.headers.pop("Authorization", None)
        answer = case.call(base_url=scene.settings.lab_url, headers=headers, timeout=20)
        case.validate_response(answer, checks=DESCRIBED)
        scene.assert_nothing_of_ben(answer.text)
        if not token and case.method != "OPTIONS" and answer.status_code < 300:
            assert operation.path.endswith(("/health", "/openapi.json")), "answered a stranger"

    one()


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"]
)
@pytest.mark.parametrize("caller", ["user", "stranger"])
def test_the_description_holds(scene: Scene, caller: str, mode: GenerationMode) -> None:
    token = scene.once("fuzzing user", lambda: scene.someone("fuzz")).token if caller == "user" else ""
    wrong: list[str] = []
    tried = 0
    for operation in operations(scene):
        try:
            fuzz(scene, operation, mode, token)
        except (AssertionError, Failure, FailureGroup, httpx.HTTPError) as failure:
            wrong.append(f"{operation.label}: {failure}")
        except hypothesis.errors.Unsatisfiable:
            continue  # nothing unfitting can be sent to an operation without parameters
        tried += 1
    assert tried > 20
    assert not wrong, f"{len(wrong)} operations:\n" + "\n\n".join(text[:1500] for text in wrong)
