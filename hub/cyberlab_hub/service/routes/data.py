"""Readings: queries, what there is to read, and points from notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated

from anyio import to_thread
from cyberlab.wire import Measurement, Written
from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import StreamingResponse

from cyberlab_hub.ingest.intake import paced
from cyberlab_hub.ingest.lines import Batch
from cyberlab_hub.service.auth import User
from cyberlab_hub.service.parts import Lab
from cyberlab_hub.service.streams import HeldResponse, close_source, pieces

router = APIRouter(tags=["data"])

CSV = "text/csv; charset=utf-8"
NOTEBOOK = {"deployment": "notebook"}
"""Stamped on points that come from a notebook or a script."""

Of = Annotated[
    str, Query(max_length=255, description="`mine`, `fleet`, `lab`, or a user who shares with you")
]


@router.get(
    "/query",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/csv": {}}, "description": "InfluxDB's CSV, times in nanoseconds"},
        400: {"description": "InfluxDB refuses it: `query-refused`"},
    },
)
async def query(
    lab: Lab,
    caller: User,
    request: Request,
    q: Annotated[str, Query(min_length=1, max_length=20_000, description="InfluxQL")],
    db: Of = "mine",
) -> StreamingResponse:
    """Run a query with your rights and stream the answer as it comes."""
    request.state.object = db

    def begin() -> tuple[Iterator[bytes], bytes | None]:
        database = lab.shares.database_for(caller.name, db)
        lab.store.ensure_owner(caller.name)
        source = iter(lab.store.query(caller.name, database, q))
        return source, next(source, None)  # what is wrong with the query comes before the first byte

    with ExitStack() as held:
        await lab.query_turns.take(caller.name, held)
        source, first = await to_thread.run_sync(begin, limiter=lab.queries)
        held.callback(close_source, source)
        return HeldResponse(pieces(source, first, lab.queries), held.pop_all(), CSV)


@router.get("/measurements")
def list_measurements(lab: Lab, caller: User, request: Request, db: Of = "mine") -> list[Measurement]:
    """What there is to read, with fields and tags."""
    request.state.object = db
    database = lab.shares.database_for(caller.name, db)
    lab.store.ensure_owner(caller.name)
    return list(lab.store.measurements(caller.name, database))


@router.post("/write")
def write_points(
    lab: Lab,
    caller: User,
    body: Annotated[bytes, Body(media_type="text/plain", description="Line protocol, ns")],
) -> Written:
    """Write points into your own database; each is stamped `deployment=notebook`."""
    return paced(lab.pace, lab.store, caller.name, Batch(body), NOTEBOOK)
