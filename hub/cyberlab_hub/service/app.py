"""The API: routes, errors, guard and audit around the parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio import to_thread
from cyberlab.wire import API
from fastapi import FastAPI

from cyberlab_hub.addresses import RealClient
from cyberlab_hub.service import answers
from cyberlab_hub.service.audited import Audited
from cyberlab_hub.service.guard import Guard
from cyberlab_hub.service.parts import Parts
from cyberlab_hub.service.routes import (
    audit,
    builds,
    catalogue,
    data,
    deployments,
    devices,
    docs,
    files,
    health,
    images,
    jobs,
    provenance,
    quotas,
    shares,
    specs,
    storage,
    things,
    trials,
)

THREADS = 100
"""For routes that wait for the database or an engine."""
STOP_SECONDS = 2.5
"""How long running jobs may take to stop with the service."""

DESCRIPTION = """
Build images from forms, try them out, deploy them to devices, read the measurements.

Work is a *job*: a POST answers 202 with its id, and its events are a stream (server-sent events) that can be taken
up again after any event. Every error has the same body, with a stable `code` and a sentence for people.
"""


def create_app(parts: Parts) -> FastAPI:
    """The application on these parts. Its lifespan starts the jobs and stops them."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        await to_thread.run_sync(parts.jobs.start, parts.workshop.sweep)
        parts.audit.keep(parts.audit_days)
        parts.keeping.start()
        yield
        parts.keeping.close()
        await to_thread.run_sync(parts.jobs.close, STOP_SECONDS)
        await to_thread.run_sync(parts.audit.close)
        await parts.auth.hub.close()

    app = FastAPI(
        title="cyberlab",
        description=DESCRIPTION,
        version=version("cyberlab"),
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # those pages fetch their scripts from elsewhere; `routes.docs` is our own
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the Host that the client claims
        responses=answers.DOCUMENTED,
        lifespan=lifespan,
    )
    app.state.parts = parts
    answers.install(app)
    for module in (
        health, catalogue, specs, files, builds, trials, jobs, images, deployments, devices, things, data, provenance,
        storage, shares, quotas, audit, docs,
    ):  # fmt: skip
        app.include_router(module.router, prefix=API)
    app.add_middleware(Guard)
    app.add_middleware(Audited, audit=parts.audit)  # outside of the guard: it sees its refusals too
    app.add_middleware(RealClient)  # added last: outermost
    return app
