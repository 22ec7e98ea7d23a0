"""The service's parts, put together once and handed to the routes. There is no other global state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from cyberlab.wire import Catalogue, JobKind
from fastapi import Depends, Request

from cyberlab_hub.ingest.apart import set_apart
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.space import Space
from cyberlab_hub.ingest.store import Store
from cyberlab_hub.service.advice import Adviser
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.auth import Auth
from cyberlab_hub.service.builds import Builds
from cyberlab_hub.service.catalogue import CatalogueShelf
from cyberlab_hub.service.credentials import Credentials
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.deployments import Deployments
from cyberlab_hub.service.health import Health
from cyberlab_hub.service.history import History
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.service.images import Images
from cyberlab_hub.service.jobs import Jobs
from cyberlab_hub.service.keeping import Keeping
from cyberlab_hub.service.owners import Owners
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.service.shares import Shares
from cyberlab_hub.service.specs import Specs
from cyberlab_hub.service.streams import OpenStreams, Turns
from cyberlab_hub.service.things import Things
from cyberlab_hub.service.trials import Trials
from cyberlab_hub.service.uploads import Uploads
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.orders import Workshop

TRIAL_SLOTS = 6
DEPLOY_SLOTS = 4
QUERIES_AT_ONCE = 12
QUERIES_OF_ONE_USER = 3


@dataclass(frozen=True)
class Parts:
    workshop: Workshop
    store: Store
    auth: Auth
    audit: Audit
    audit_days: int
    jobs: Jobs
    catalogue: CatalogueShelf
    credentials: Credentials
    images: Images
    builds: Builds
    trials: Trials
    deployments: Deployments
    history: History
    keeping: Keeping
    owners: Owners
    specs: Specs
    adviser: Adviser
    uploads: Uploads
    shares: Shares
    things: Things
    quotas: Quotas
    health: Health
    streams: OpenStreams
    pace: Pace
    """How fast notebooks may write readings."""
    space: Space
    """And how much."""
    queries: CapacityLimiter
    """Threads that read from InfluxDB: a few slow queries must not hold up everything else."""
    query_turns: Turns
    """And no user may take them all."""


def assemble(
    settings: Settings, database: Database, workshop: Workshop, store: Store, hub: Hub, seed: Catalogue
) -> Parts:
    """Put the parts together and bring the catalogue to `seed`. Nothing runs yet: `Parts.jobs.start` does that."""
    catalogue = CatalogueShelf(database, workshop)
    catalogue.seed(seed)
    store = set_apart(store, database)
    slots = {
        JobKind.BUILD: settings.build_slots,
        JobKind.TRIAL: TRIAL_SLOTS,
        JobKind.DEPLOY: DEPLOY_SLOTS,
    }
    jobs = Jobs(database, slots)
    images = Images(database, workshop)
    credentials = Credentials(database)
    quotas = Quotas(database)
    history = History(database)
    space = Space(lambda owner: quotas.of(owner, "readings"), store.spaces)
    keeping = Keeping(database, store, quotas, space)
    return Parts(
        workshop=workshop,
        store=store,
        auth=Auth(hub, seen=quotas.seen),
        audit=Audit(database),
        audit_days=settings.audit_days,
        jobs=jobs,
        catalogue=catalogue,
        credentials=credentials,
        images=images,
        builds=Builds(jobs, images, catalogue, workshop, quotas, history),
        trials=Trials(jobs, images, workshop, quotas),
        deployments=Deployments(
            database, jobs, images, catalogue, credentials, workshop, store, quotas, history
        ),
        history=history,
        keeping=keeping,
        owners=Owners(database, store, quotas, keeping),
        specs=Specs(database, quotas),
        adviser=Adviser(),
        uploads=Uploads(),
        shares=Shares(database, store),
        things=Things(settings, database, store, quotas),
        quotas=quotas,
        health=Health(settings, database, workshop, store, hub),
        streams=OpenStreams(),
        pace=Pace(lambda owner: quotas.of(owner, "points"), admit=space.admit),
        space=space,
        queries=CapacityLimiter(QUERIES_AT_ONCE),
        query_turns=Turns(QUERIES_OF_ONE_USER),
    )


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Lab = Annotated[Parts, Depends(_parts)]
