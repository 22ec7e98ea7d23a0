"""`Things`: the part of the `Lab` about what a user connects that is no device of the lab."""

from __future__ import annotations

from cyberlab.data import Data
from cyberlab.tables import Table
from cyberlab.transport import path_of
from cyberlab.wire import NewThing, Thing, ThingRequest


class Things(Data):
    def things(self) -> Table[Thing]:
        """Your things: what sends readings with a token of its own."""
        return self._table(Thing, "/things")

    def add_thing(self, name: str) -> NewThing:
        """A token with which a thing of yours, such as an Arduino, sends readings as the device `name`.

        The token is in the answer (``.token``) and is shown this once: the lab keeps only its hash. Beside it: where
        the thing writes to (``.gateway``, ``.mqtt``), and by which certificate it knows the lab (``.ca``).

        Raises:
            SpecRefused: the name is not possible. Conflict: you have a thing of that name. OverQuota.
        """
        wish = ThingRequest(name=name)
        return self._transport.post("/things", NewThing, wish.model_dump_json().encode())

    def remove_thing(self, name: str) -> None:
        """Withdraw its token: nothing is taken with it any more. Its data stays.

        Raises:
            NotFound: you have no thing of that name.
        """
        self._transport.delete(path_of("things", name))
