"""The audit, for administrators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cyberlab.wire import AuditEntry, Problem
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from cyberlab_hub.errors import SpecRefused
from cyberlab_hub.service.audit import Wanted
from cyberlab_hub.service.auth import Administrator
from cyberlab_hub.service.journal import storable
from cyberlab_hub.service.parts import Lab

router = APIRouter(prefix="/audit", tags=["administration"])

LINES = "application/x-ndjson"
MOST = 1000
NEWEST = 100
ROW = 2**63 - 1


def _wanted(
    actor: Annotated[str | None, Query(max_length=255, description="Exactly; empty: without a token")] = None,
    action: Annotated[str | None, Query(max_length=64, description="Exactly, such as `start_build`")] = None,
    object: Annotated[str | None, Query(max_length=400, description="Anywhere in the object")] = None,  # noqa: A002 - the parameter's name
    reason: Annotated[str | None, Query(max_length=400, description="How the reason begins")] = None,
    allowed: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Wanted:
    actor, action, object, reason = map(_text, (actor, action, object, reason))  # noqa: A001 - the parameter
    return Wanted(actor, action, object, reason, allowed, _utc("since", since), _utc("until", until))


@router.get(
    "",
    response_model=list[AuditEntry],
    responses={200: {"content": {LINES: {}}, "description": "A list, or one `AuditEntry` a line"}},
)
def list_audit(
    lab: Lab,
    _caller: Administrator,
    wanted: Annotated[Wanted, Depends(_wanted)],
    after: Annotated[
        int | None, Query(ge=0, le=ROW, description="Rows with a higher id, oldest first")
    ] = None,
    before: Annotated[
        int | None, Query(ge=0, le=ROW, description="Rows with a lower id, newest first")
    ] = None,
    limit: Annotated[
        int | None, Query(ge=1, description=f"At most {MOST}; of JSON lines as many as you like")
    ] = None,
    format: Annotated[Literal["json", "jsonl"] | None, Query()] = None,  # noqa: A002 - the parameter's name
    accept: Annotated[str, Header()] = "",
) -> Any:
    """Who changed what and who was refused.

    As JSON the newest first, at most 100 unless `limit` says more. As JSON lines (`format=jsonl`, or
    `Accept: application/x-ndjson`) everything from `after` on, oldest first, streamed.
    """
    if format == "jsonl" or (format is None and LINES in accept):
        return StreamingResponse(_lines(lab.audit.everything(after or 0, limit, wanted)), media_type=LINES)
    count = min(limit or NEWEST, MOST)
    if after is not None:
        return lab.audit.following(after, count, wanted)
    return lab.audit.newest(count, wanted, before)


def _lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    for entry in entries:
        yield entry.model_dump_json() + "\n"


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text)


def _utc(path: str, at: datetime | None) -> datetime | None:
    if at is None:
        return None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        message = "This time is too far away. Write it as in 2026-03-01T12:00:00Z."
        problem = Problem(path=path, code="time-invalid", message=message)
        raise SpecRefused("request-invalid", message, (problem,)) from error
