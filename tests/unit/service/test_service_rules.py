"""Small parts with rules of their own: the catalogue's rows, remembered tokens, field paths, the guard's clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cyberlab.wire import Catalogue
from cyberlab_hub.errors import HubError, NotSignedIn, PartDown, SetupError
from cyberlab_hub.service import answers
from cyberlab_hub.service.auth import Auth
from cyberlab_hub.service.catalogue import CatalogueShelf, read_seed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.guard import Guard
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.service.models import CatalogueBase
from fakes import FakeHub, FakeWorkshop
from service_lab import CATALOGUE


# ---------------------------------------------------------------- catalogue
def shelf(folder: Path, workshop: FakeWorkshop | None = None) -> tuple[CatalogueShelf, Database]:
    database = Database.open(f"sqlite:///{folder}/lab.sqlite")
    return CatalogueShelf(database, workshop or FakeWorkshop()), database


def test_the_packaged_catalogue_is_valid_and_seeds(tmp_path: Path) -> None:
    catalogue, database = shelf(tmp_path)
    seed = read_seed()
    catalogue.seed(seed)
    assert catalogue.plain() == seed
    assert {"python", "python-science", "python-vision", "node"} <= {base.name for base in seed.bases}
    assert all(set(scenario.bases) <= {base.name for base in seed.bases} for scenario in seed.scenarios)
    database.close()


def test_seeding_again_follows_the_file_and_leaves_the_operators_rows(tmp_path: Path) -> None:
    catalogue, database = shelf(tmp_path)
    catalogue.seed(CATALOGUE)
    own = CATALOGUE.bases[0].model_copy(update={"name": "own", "image": "site/own"})
    changed = CATALOGUE.bases[1].model_copy(update={"title": "Of the operator"})
    with database.session() as session:
        session.add(CatalogueBase(name="own", position=9, data=own.model_dump(mode="json"), seeded=False))
        row = session.get_one(CatalogueBase, "rare")
        row.data, row.seeded = changed.model_dump(mode="json"), False
    catalogue.seed(Catalogue(bases=CATALOGUE.bases[1:], scenarios=()))
    now = catalogue.plain()
    assert [(base.name, base.title) for base in now.bases] == [("rare", "Of the operator"), ("own", "Python")]
    assert now.scenarios == ()
    database.close()


def test_what_the_workshop_knows_is_remembered_for_a_moment(tmp_path: Path) -> None:
    workshop = FakeWorkshop()
    catalogue, database = shelf(tmp_path, workshop)
    catalogue.seed(CATALOGUE)
    python, rare = catalogue.now().bases
    assert (python.ready, python.size_mb, python.versions) == (True, 150, {"Python": "3.11.2"})
    assert (rare.ready, rare.size_mb) == (False, None)
    workshop.down = PartDown("engine-down", "away")
    assert catalogue.now().bases[0].ready is True
    catalogue._clock = lambda: 1e12
    assert catalogue.now().bases[0].ready is False
    database.close()


@pytest.mark.parametrize("text", ["bases: [", "bases: 3\nscenarios: []", ""])
def test_a_catalogue_that_is_none_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(SetupError, match=r"c\.yaml"):
        read_seed(tmp_path / "c.yaml")


# ---------------------------------------------------------------- who
def test_a_revoked_token_works_for_ten_seconds_at_most() -> None:
    hub, clock = FakeHub(), [0.0]
    auth = Auth(Hub("http://hub.test/hub/api", lambda: "", transport=hub), clock=lambda: clock[0])

    async def story() -> None:
        assert (await auth.caller("anna-token")).name == "anna"
        del hub.holders["anna-token"]
        clock[0] = 9.9
        assert (await auth.caller("anna-token")).name == "anna"
        clock[0] = 10.1
        with pytest.raises(NotSignedIn):
            await auth.caller("anna-token")

    asyncio.run(story())


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ä", "x" * 600])
def test_what_is_no_token_never_reaches_the_hub(token: str) -> None:
    hub = FakeHub()
    auth = Auth(Hub("http://hub.test/hub/api", lambda: "", transport=hub))
    with pytest.raises(NotSignedIn):
        asyncio.run(auth.caller(token))
    assert hub.calls == 0


# ---------------------------------------------------------------- answers and the guard
def test_every_error_of_the_tree_has_a_status_but_those_not_for_users() -> None:
    # the tree of errors.py: the gateway has errors of its own, which it answers itself
    tree = [HubError, *(k for k in HubError.__subclasses__() if k.__module__ == HubError.__module__)]
    without = {kind.__name__ for kind in tree if answers.status_of(kind("x", "y")) == 500}
    assert without == {"HubError", "SetupError"}


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (("body", "spec", "files", 0, "path"), "files[0].path"),
        (("body", "spec"), "spec"),
        (("body", "name"), "name"),
        (("query", "limit"), "limit"),
        (("body",), ""),
        (("body", 3), "[3]"),
    ],
)
def test_field_paths(location: tuple[int | str, ...], path: str) -> None:
    assert answers.field_path(location) == path


def test_a_client_that_sends_for_ever_is_cut_off() -> None:
    async def app(*_: Any) -> None:
        raise AssertionError("the application was reached")

    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(Guard(app, seconds=0.1)(scope, trickle, send))
    assert sent[0]["status"] == 408
    assert b"body-too-slow" in sent[1]["body"]
