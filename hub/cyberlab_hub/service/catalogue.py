"""What the form may offer: seeded from the packaged `catalogue.yaml`, kept in the database, completed by the engine.

The file is followed at every start; rows an operator added (`seeded` false) are left alone. What only the
workshop knows about a base (built or not, size, versions) is asked for, and remembered for a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from cyberlab.wire import Base, Catalogue
from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cyberlab_hub.errors import NotFound, PartDown, SetupError
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import CatalogueBase, CatalogueScenario, CatalogueSetting
from cyberlab_hub.workshop.orders import BaseState, Workshop

SEED = Path(__file__).with_name("catalogue.yaml")
REMEMBERED_SECONDS = 5.0
SETTINGS = ("device_profiles", "limits")
LIVE = {"ready", "size_mb", "versions"}
"""Fields of a base that come from the workshop."""


def read_seed(path: Path = SEED) -> Catalogue:
    """The catalogue as the file has it.

    Raises:
        SetupError: ``catalogue-invalid``; says where.
    """
    try:
        return Catalogue.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise SetupError("catalogue-invalid", f"The catalogue {path} cannot be used: {error}") from error


class CatalogueShelf:
    """The catalogue as it is now."""

    def __init__(
        self, database: Database, workshop: Workshop, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._workshop = workshop
        self._clock = clock
        self._states: dict[str, tuple[float, BaseState]] = {}

    def seed(self, seed: Catalogue) -> None:
        """Bring the seeded rows to what the file says."""
        settings = {name: value for name, value in seed.model_dump(mode="json").items() if name in SETTINGS}
        with self._database.session() as session:
            _replace(session, CatalogueBase, [b.model_dump(mode="json", exclude=LIVE) for b in seed.bases])
            _replace(session, CatalogueScenario, [s.model_dump(mode="json") for s in seed.scenarios])
            session.execute(delete(CatalogueSetting).where(CatalogueSetting.seeded))
            own = set(session.scalars(select(CatalogueSetting.name)))
            for name in settings.keys() - own:
                session.add(CatalogueSetting(name=name, data=settings[name], seeded=True))

    def plain(self) -> Catalogue:
        """Without what only the workshop knows: enough to check and to render a spec."""
        with self._database.session() as session:
            bases = session.scalars(select(CatalogueBase).order_by(CatalogueBase.position)).all()
            scenarios = session.scalars(select(CatalogueScenario).order_by(CatalogueScenario.position)).all()
            settings = session.scalars(select(CatalogueSetting)).all()
        parts: dict[str, Any] = {row.name: row.data for row in settings}
        return Catalogue.model_validate(
            {**parts, "bases": [row.data for row in bases], "scenarios": [row.data for row in scenarios]}
        )

    def now(self) -> Catalogue:
        """With the state of each base. An engine that is away leaves bases “not ready”."""
        plain = self.plain()
        return plain.model_copy(update={"bases": tuple(self._completed(base) for base in plain.bases)})

    def _completed(self, base: Base) -> Base:
        try:
            state = self.state(base)
        except PartDown:
            return base
        size = None if state.size_bytes is None else round(state.size_bytes / 1e6)
        return base.model_copy(
            update={"ready": state.ready, "size_mb": size, "versions": dict(state.versions)}
        )

    def state(self, base: Base, *, fresh: bool = False) -> BaseState:
        """What the workshop knows of a base; `fresh` asks again in any case.

        Raises:
            PartDown: ``engine-down``.
        """
        until, state = self._states.get(base.image, (0.0, None))
        if state is None or fresh or self._clock() >= until:
            state = self._workshop.base_state(base.image)
            self._states[base.image] = (self._clock() + REMEMBERED_SECONDS, state)
        return state

    def base(self, name: str) -> Base:
        """Raises:
        NotFound: ``base-unknown``.
        """
        base = self.plain().base(name)
        if base is None:
            raise NotFound("base-unknown", f"There is no base image {name} in the catalogue any more.")
        return base


def _replace(
    session: Session, table: type[CatalogueBase] | type[CatalogueScenario], entries: list[dict[str, Any]]
) -> None:
    session.execute(delete(table).where(table.seeded))
    own = set(session.scalars(select(table.name)))
    for position, entry in enumerate(entries):
        if entry["name"] not in own:
            session.add(table(name=entry["name"], position=position, data=entry, seeded=True))
