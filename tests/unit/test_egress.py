from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from cyberlab_hub import egress
from cyberlab_hub.egress import Direct, Egress, parse, squid_conf

MIRRORS = (("deb.example", 80), ("pypi.example", 443))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Egress()),
        ("packages", Egress(names=MIRRORS)),
        ("internet", Egress(internet=True)),
        ("example.org", Egress(names=(("example.org", 80), ("example.org", 443)))),
        ("Example.ORG:8883", Egress(names=(("example.org", 8883),))),
        (".iot.example.org:443", Egress(names=((".iot.example.org", 443),))),
        ("10.20.0.0/16:1883", Egress(direct=(Direct(IPv4Network("10.20.0.0/16"), 1883),))),
        ("10.20.0.7:1883", Egress(direct=(Direct(IPv4Network("10.20.0.7/32"), 1883),))),
        (
            "packages, internet example.org:22",
            Egress(names=(MIRRORS[0], ("example.org", 22), MIRRORS[1]), internet=True),
        ),
    ],
)
def test_the_forms_of_an_entry(text: str, expected: Egress) -> None:
    assert parse(text, MIRRORS) == expected


@pytest.mark.parametrize(
    "text",
    [
        "example.org:0",
        "example.org:65536",
        "example.org:http",
        "http://example.org",
        "exa mple.org/",
        "example.org\nhttp_access allow all:80",
        "-bad.example",
        "a" * 64 + ".example",
        "10.20.0.0/16",
        "10.20.0.0/16:",
        "10.20.0.1/16:80",
        "*.example.org",
        "пример.рф",
        "::1:80",
    ],
)
def test_anything_else_is_refused_and_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"entry|port"):
        parse(text, MIRRORS)


def conf(workshop: str, notebooks: str = "", own: tuple[str, ...] = ("10.77.0.0/16",)) -> list[str]:
    return squid_conf(parse(workshop, MIRRORS), parse(notebooks, MIRRORS), own).splitlines()


def test_what_is_never_reached_is_refused_before_anything_is_allowed() -> None:
    lines = conf("packages internet", "packages")
    access = [line for line in lines if line.startswith("http_access")]
    assert access[0] == "http_access deny never"
    assert access[-1] == "http_access deny all"
    never = next(line for line in lines if line.startswith("acl never dst"))
    for network in (*egress.NEVER, "10.77.0.0/16"):
        assert network in never.split()


def test_each_listener_has_its_own_list() -> None:
    lines = conf("packages", "internet")
    allowed = [line for line in lines if line.startswith("http_access allow")]
    assert {line.split()[2] for line in allowed} == {"from_workshop", "from_notebooks"}
    assert "http_access allow from_notebooks web !private" in allowed
    assert not any("from_workshop web" in line for line in allowed)


def test_a_name_is_allowed_on_its_own_port_only() -> None:
    lines = conf("example.org:8883 other.example")
    assert "acl workshop_names_8883 dstdomain -n example.org" in lines
    assert "acl workshop_names_443 dstdomain -n other.example" in lines


def test_names_that_another_covers_are_left_out() -> None:
    lines = conf(".example.org:443 www.example.org:443 example.org:443 myexample.org:443")
    assert "acl workshop_names_443 dstdomain -n .example.org myexample.org" in lines


def test_an_empty_list_allows_nothing() -> None:
    assert not [line for line in conf("") if line.startswith("http_access allow")]


def test_the_sites_proxy_is_the_only_way_on_when_there_is_one() -> None:
    text = squid_conf(Egress(), Egress(), (), ("proxy.campus.example", 8080))
    assert "cache_peer proxy.campus.example parent 8080 0 no-query default" in text
    assert "never_direct allow all" in text


def test_programs_find_the_proxy_in_either_case_and_the_lab_around_it() -> None:
    found = egress.proxy_environment("10.77.5.2", 3128, ["10.77.0.1"])
    assert found["http_proxy"] == found["HTTPS_PROXY"] == "http://10.77.5.2:3128"
    assert "10.77.0.1" in found["no_proxy"].split(",")
