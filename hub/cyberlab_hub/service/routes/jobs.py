"""Jobs of every kind; `watching` gives the same calls to builds and trials under their own names."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from cyberlab.wire import Job, JobKind
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab
from cyberlab_hub.service.streams import HEADERS, MEDIA_TYPE, job_events

router = APIRouter(prefix="/jobs", tags=["jobs"])

After = Annotated[int, Query(ge=0, description="Only events with a higher id")]
LastEventId = Annotated[str, Header(description="As `after`; browsers send it when they come back")]
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {}}, "description": "One `JobEvent` each, then `end` with the `Job`"}
}


def watching(router: APIRouter, kind: JobKind | None, noun: str) -> None:
    """Add reading, events and cancelling of jobs of one kind (None: any)."""

    @router.get("/{job}", name=f"read_{noun}")
    def read(lab: Lab, caller: User, job: str) -> Job:
        return lab.jobs.rows.get(caller.name, job, kind)

    @router.get("/{job}/events", name=f"watch_{noun}", responses=EVENTS, response_class=StreamingResponse)
    async def watch(
        lab: Lab, caller: User, job: str, after: After = 0, last_event_id: LastEventId = ""
    ) -> StreamingResponse:
        """What has happened and what happens, as server-sent events; resumable after any event."""
        await to_thread.run_sync(lab.jobs.rows.get, caller.name, job, kind)
        last = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0
        events = job_events(lab.jobs, caller.name, job, max(after, min(last, 2**31 - 1)))
        return StreamingResponse(events, media_type=MEDIA_TYPE, headers=HEADERS)

    @router.post("/{job}/cancel", name=f"cancel_{noun}", status_code=202)
    def cancel(lab: Lab, caller: User, job: str) -> Job:
        """Ask it to stop. It ends as `cancelled` a moment later; one that has ended stays as it is."""
        return lab.jobs.cancel(caller.name, job, kind)


@router.get("")
def list_jobs(
    lab: Lab,
    caller: User,
    kind: JobKind | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[Job]:
    """Your jobs, newest first."""
    return lab.jobs.rows.newest(caller.name, kind, limit)


watching(router, None, "job")
