"""What users' code may reach outside the lab: the rule of a setting, and the proxy's configuration made from it.

Nothing is routed out of a build, a trial, a deployment or a notebook. Their one door is the lab's HTTP proxy (Squid),
which opens connections to *names* on a list. Two settings are such lists, for code on the workshop engine and devices
and for notebooks. An entry is one of

    packages             the machine's own mirrors: Debian, PyPI, npm
    internet             every public address, ports 80 and 443
    example.org          that name, ports 80 and 443; `.example.org` means every name below it as well
    example.org:8883     that port only
    10.20.0.0/16:1883    numbers with a port: routed directly, for protocols that know no proxy (MQTT)

Whatever is listed, the proxy never connects to the lab's own networks, this machine, or link-local (cloud metadata)
addresses; and by `internet` never to private ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

WEB = (80, 443)
WORKSHOP_PORT = 3128
NOTEBOOK_PORT = 3129
NEVER = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "::/128",
    "::1/128",
    "fe80::/10",
    "ff00::/8",
)
"""This host, link-local with every cloud's metadata service, multicast and reserved addresses."""
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "fc00::/7")

_LOG = '{"at":"%tg","from":"%>a","door":"%lp","method":"%rm","to":"%>rd:%>rP","status":%>Hs,"bytes":%<st}'
_NAME = re.compile(r"\.?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Direct:
    """A range of addresses that may be reached on one TCP port without the proxy."""

    network: IPv4Network
    port: int


@dataclass(frozen=True)
class Egress:
    """What one kind of users' code may reach."""

    names: tuple[tuple[str, int], ...] = ()
    """Host name and TCP port; a name that begins with a dot stands for everything below it as well."""
    direct: tuple[Direct, ...] = ()
    internet: bool = False


def parse(text: str, packages: Iterable[tuple[str, int]] = ()) -> Egress:
    """The rule of a setting; `packages` is what the word ``packages`` stands for on this machine.

    Raises:
        ValueError: an entry has none of the forms; the text names it.
    """
    names: dict[tuple[str, int], None] = {}
    direct: dict[Direct, None] = {}
    internet = False
    for entry in re.split(r"[,\s]+", text.strip()):
        if entry == "packages":
            names |= dict.fromkeys(packages)
        elif entry == "internet":
            internet = True
        elif (numbers := _numbers(entry)) is not None:
            direct[numbers] = None
        elif entry:
            names |= dict.fromkeys(_named(entry))
    return Egress(tuple(sorted(names)), tuple(direct), internet)


def _named(entry: str) -> list[tuple[str, int]]:
    name, colon, port = entry.lower().partition(":")
    if not _NAME.fullmatch(name) or len(name) > 253 or (colon and not _is_port(port)):
        raise ValueError(
            f"{entry!r} is no entry for what code may reach: write packages, internet, a host name such as example.org "
            "or example.org:8883, or numbers with a port such as 10.20.0.0/16:1883"
        )
    return [(name, int(port))] if colon else [(name, web) for web in WEB]


def _numbers(entry: str) -> Direct | None:
    address, _, port = entry.partition(":")
    try:
        network = IPv4Network(address)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
    if not _is_port(port):
        raise ValueError(f"{entry!r} needs a port, as in 10.20.0.0/16:1883")
    return Direct(network, int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


# ---------------------------------------------------------------- the proxy
def squid_conf(
    workshop: Egress, notebooks: Egress, own: Sequence[str], parent: tuple[str, int] | None = None
) -> str:
    """Squid's configuration: two listeners with a list each, everything else denied, nothing cached.

    `own`: networks and addresses of the lab and of this machine, never reached. `parent`: the site's own proxy.
    Reference: https://www.squid-cache.org/Doc/config/
    """
    lines = [
        f"http_port {WORKSHOP_PORT} name=workshop",
        f"http_port {NOTEBOOK_PORT} name=notebooks",
        "acl CONNECT method CONNECT",
        f"acl never dst {' '.join([*NEVER, *own])}",
        f"acl private dst {' '.join(PRIVATE)}",
        f"acl web port {' '.join(map(str, WEB))}",
        "acl crowd maxconn 256",
        "http_access deny never",
        "http_access deny crowd",
    ]
    for listener, rule in (("workshop", workshop), ("notebooks", notebooks)):
        lines += [f"acl from_{listener} myportname {listener}", *_allow(listener, rule)]
    lines += [
        "http_access deny all",
        "cache deny all",
        "via off",
        "forwarded_for delete",
        "httpd_suppress_version_string on",
        "visible_hostname cyberlab-proxy",
        "error_directory /usr/share/cyberlab/errors",
        "pinger_enable off",
        "pid_filename none",
        "coredump_dir none",
        f"logformat lab {_LOG}",
        "access_log stdio:/dev/stdout logformat=lab",
        "cache_log stdio:/dev/stderr",
        "logfile_rotate 0",
        "shutdown_lifetime 1 seconds",
        "connect_timeout 20 seconds",
        "client_lifetime 1 hour",
        "max_filedescriptors 4096",
    ]
    if parent is not None:
        host, port = parent
        lines += [f"cache_peer {host} parent {port} 0 no-query default", "never_direct allow all"]
    return "\n".join(lines) + "\n"


def _allow(listener: str, rule: Egress) -> list[str]:
    lines: list[str] = []
    by_port: dict[int, list[str]] = {}
    for name, port in rule.names:
        by_port.setdefault(port, []).append(name)
    for port, names in sorted(by_port.items()):
        # -n: an address instead of a name is never looked up backwards, a PTR record is the attacker's word
        lines += [
            f"acl {listener}_names_{port} dstdomain -n {' '.join(_apart(names))}",
            f"acl {listener}_port_{port} port {port}",
            f"http_access allow from_{listener} {listener}_port_{port} {listener}_names_{port}",
        ]
    if rule.internet:
        lines.append(f"http_access allow from_{listener} web !private")
    return lines


def _apart(names: list[str]) -> list[str]:
    """Without names that another one covers: Squid refuses such a list."""
    suffixes = [name for name in names if name.startswith(".")]
    return [
        name
        for name in names
        if not any(name != suffix and (f".{name.lstrip('.')}").endswith(suffix) for suffix in suffixes)
    ]


def proxy_environment(proxy: str, port: int, own: Sequence[str]) -> Mapping[str, str]:
    """The variables by which apt, pip, npm, curl and requests find the proxy; `own` goes around it."""
    url, around = f"http://{proxy}:{port}", ",".join(["localhost", "127.0.0.1", *own])
    pairs = {"http_proxy": url, "https_proxy": url, "no_proxy": around}
    return pairs | {name.upper(): value for name, value in pairs.items()}
