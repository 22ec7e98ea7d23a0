"""A deployment as a Swarm service: names, cage, environment."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import service_spec as spec
from cyberlab_hub.workshop.orders import DeployOrder
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = Settings(state=Path("/nowhere"))
TOKEN, AUTHORITY = spec.Kept("s1", "token"), spec.Kept("c1", "ca")


def order(**changes: object) -> DeployOrder:
    given_values: dict[str, object] = {
        "job": "j1", "owner": "ann", "name": "greenhouse", "deployment": "d0123456789", "repository": "ann/prog",
        "digest": "sha256:abc", "image": "ann/prog:1", "node_ids": ("n1",), "command": (), "env": (), "ports": (),
        "token": "very-secret", "pull_user": "u", "pull_password": "also-secret",
    }  # fmt: skip
    return DeployOrder(**{**given_values, **changes})  # type: ignore[arg-type]  # a test names what it changes


def rendered(made: DeployOrder) -> dict[str, object]:
    return spec.service_spec(SETTINGS, made, TOKEN, AUTHORITY)


def container(made: DeployOrder) -> dict[str, object]:
    return spec.service_spec(SETTINGS, made, TOKEN, AUTHORITY)["TaskTemplate"]["ContainerSpec"]  # type: ignore[no-any-return]


NAMES = ["a", "x" * 64, "has@sign", "user--foo", "имя", "line\nbreak", "", "UPPER case", "-", "ann.b_c"]


@pytest.mark.parametrize("owner", NAMES)
@pytest.mark.parametrize("deployment", ["d0123456789", "Weird Ид", "x" * 64])
def test_names_are_safe_and_bounded(owner: str, deployment: str) -> None:
    made = order(owner=owner, name=owner, deployment=deployment)
    for name in (spec.service_name(SETTINGS, made), spec.secret_name(SETTINGS, made)):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert len(name) <= 63


def test_equal_readable_parts_of_two_deployments_differ() -> None:
    assert spec.service_name(SETTINGS, order(deployment="da")) != spec.service_name(
        SETTINGS, order(deployment="db")
    )


def test_another_token_is_another_secret() -> None:
    assert spec.secret_name(SETTINGS, order(token="a")) != spec.secret_name(SETTINGS, order(token="b"))


def test_no_secret_stands_in_the_description() -> None:
    told = json.dumps(rendered(order()))
    assert "very-secret" not in told
    assert "also-secret" not in told


def test_the_cage_is_closed() -> None:
    inside = container(order())
    assert inside["CapabilityDrop"] == ["ALL"]
    assert inside["ReadOnly"] is True
    assert inside["Init"] is True
    resources = spec.service_spec(SETTINGS, order(), TOKEN, AUTHORITY)["TaskTemplate"]["Resources"]["Limits"]
    assert all(resources[key] > 0 for key in ("NanoCPUs", "MemoryBytes", "Pids"))
    assert "Networks" not in json.dumps(rendered(order()))


def test_the_image_is_pinned_by_digest() -> None:
    assert container(order())["Image"] == f"{SETTINGS.registry}/ann/prog@sha256:abc"


def test_ports_are_published_on_the_device_itself() -> None:
    endpoint = spec.service_spec(SETTINGS, order(ports=(8080,)), TOKEN, AUTHORITY)["EndpointSpec"]
    assert endpoint["Mode"] == "dnsrr"
    assert [(port["PublishedPort"], port["PublishMode"]) for port in endpoint["Ports"]] == [(8080, "host")]


def test_the_labs_variables_win_over_the_users() -> None:
    env = container(order(env=(("CYBERLAB_DEVICE", "evil"), ("MINE", "1"))))["Env"]
    assert isinstance(env, list)
    assert "MINE=1" in env
    assert [line for line in env if line.startswith("CYBERLAB_DEVICE=")] == [
        "CYBERLAB_DEVICE={{.Node.Hostname}}"
    ]


def go_template(text: str) -> str:
    """What Go's text/template prints for the only action we write; any other action is an error."""
    printed = re.sub(r'\{\{"\{\{"\}\}', "\0", text)
    assert "{{" not in printed, "an action of the user's would be evaluated"
    return printed.replace("\0", "{{")


@given(st.text(alphabet='{}"-.$ a`\n', max_size=30))
def test_users_values_are_never_templates(value: str) -> None:
    assert go_template(spec.literal(value)) == value


def test_an_empty_command_leaves_the_images() -> None:
    assert "Args" not in container(order())
    assert container(order(command=("a", "b")))["Args"] == ["a", "b"]
