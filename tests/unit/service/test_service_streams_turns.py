"""A user's turns: a few at once, and nobody waits for another's."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from cyberlab_hub.service.streams import Turns


def test_one_who_has_all_turns_waits_and_another_does_not() -> None:
    async def run() -> None:
        turns = Turns(2)
        with ExitStack() as mallory, ExitStack() as ben:
            await turns.take("mallory", mallory)
            await turns.take("mallory", mallory)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(turns.take("mallory", mallory), 0.05)
            await asyncio.wait_for(turns.take("ben", ben), 1)
            mallory.close()
            await asyncio.wait_for(turns.take("mallory", mallory), 1)

    asyncio.run(run())
