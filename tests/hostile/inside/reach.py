"""What can be reached over the network from here. Probes of `places.py`; `facts` name the targets."""

import os
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

SECONDS = 3


def connect(facts):
    """Name of the target -> whether a TCP connection was made."""
    return _each(facts["targets"], _connects)


def through_the_door(facts):
    """Name -> the status of the target's own server, or why the proxy did not get that far."""
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ""
    return _each(facts["urls"], lambda url: _asks(url, facts["proxy"]))


def lookup(facts):
    """Name of a host -> whether the system's resolver knew it."""
    os.environ["RES_OPTIONS"] = (
        "timeout:2 attempts:1"  # a resolver that drops questions costs each try its time
    )
    return _each({name: name for name in facts["names"]}, _resolves)


def datagrams(facts):
    """Send to every address: whoever listens there tells. Returns how many could be sent."""
    sent = 0
    for host in facts["listener_hosts"]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            try:
                out.sendto(b"hello", (host, facts["listener_port"]))
                sent += 1
            except OSError:
                continue
    return sent


def ask_a_resolver(facts):
    """A question in DNS by hand, to the host's own resolvers: data would leave in the name."""
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06secret\x07example\x00\x00\x01\x00\x01"
    answered = []
    for host in facts["resolvers"]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.settimeout(SECONDS)
            try:
                out.sendto(question, (host, 53))
                out.recv(512)
                answered.append(host)
            except OSError:
                continue
    return answered


def addresses_of_version_6(facts):
    """Addresses of IPv6 on our interfaces: the lab has none, so there is nothing to filter."""
    try:
        with open("/proc/net/if_inet6") as lines:
            return [line.split()[5] for line in lines if line.split()[5] != "lo"]
    except FileNotFoundError:
        return []


def _each(targets, probe):
    with ThreadPoolExecutor(16) as pool:
        return dict(zip(targets, pool.map(probe, targets.values()), strict=True))


def _connects(target):
    host, port = target
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError:
        return False
    return True


def _resolves(name):
    try:
        socket.getaddrinfo(name, 443)
    except OSError:
        return False
    return True


def _asks(url, proxy):
    """An int is the status of whoever answered behind the proxy; 403 and text are the proxy's own refusals."""
    if urlsplit(url).scheme == "tunnel":
        return _tunnel(urlsplit(url).netloc, proxy)
    door = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    try:
        with door.open(url, timeout=8) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return f"refused {error.code}" if "X-Squid-Error" in error.headers else error.code
    except (OSError, ValueError) as error:
        return str(error)


def _tunnel(target, proxy):
    host, port = proxy.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as door:
        door.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        status = door.recv(200).decode(errors="replace").split(" ")[1]
    return 200 if status == "200" else f"refused {status}"
