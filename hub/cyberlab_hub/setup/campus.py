"""`CYBERLAB_CAMPUS` on this machine: whether it can listen there, said before anything opens."""

from __future__ import annotations

from ipaddress import ip_address

from cyberlab_hub.addresses import is_ours
from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.door import own_addresses
from cyberlab_hub.setup.steps import Reused


def ensure(settings: Settings) -> str:
    """Say where things on the campus come in.

    Raises: Reused when they do not. SetupError: ``campus-unusable``.
    """
    if not settings.on_campus.entries:
        raise Reused("closed")
    for address in settings.on_campus.addresses:
        if problem := _problem(settings, address):
            raise SetupError(
                "campus-unusable",
                f"CYBERLAB_CAMPUS lists {address}, {problem}. Take it from the list, or write one of this machine's "
                f"that the campus reaches ({', '.join(_possible(settings)) or 'it has none'}); then `make up`",
            )
    return described(settings)


def described(settings: Settings) -> str:
    """For the operator: what a thing is told, and where the two ports are open."""
    campus = settings.on_campus
    if not campus.entries:
        return "closed"
    return f"{campus.gateway_url} and {campus.broker_url}, open at {', '.join(campus.addresses)}"


def _problem(settings: Settings, address: str) -> str:
    number = ip_address(address)
    if number.is_unspecified:
        return "which is every address of this machine, the lab's own too"
    if number.is_loopback:
        return "which nobody reaches but this machine itself"
    if number in settings.whole_network:
        return "which is one of the lab's own"
    return "" if is_ours(address) else "which is no address of this machine"


def _possible(settings: Settings) -> list[str]:
    """Addresses of version 4 that would do."""
    return [a for a in own_addresses() if ":" not in a and not _problem(settings, a)]
