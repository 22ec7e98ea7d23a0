from __future__ import annotations

from pathlib import Path

import pytest
from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import firewall, networks


def rules_of(settings: Settings, hook: str) -> list[list[str]]:
    return next(
        chain.rules
        for chain in firewall.chains(settings)
        if chain.hook == hook and chain.command == "iptables"
    )


def test_of_the_host_each_network_reaches_its_ports_and_then_nothing(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    for network in networks.NETWORKS:
        bridge = networks.bridge_name(settings, network.which)
        mine = [r for r in rules_of(settings, "INPUT") if r[:2] == ["-i", bridge]]
        assert mine[-1][2:4] == ["-j", "REJECT"]
        ports = {r[r.index("--dport") + 1] for r in mine if "--dport" in r}
        assert ports == {str(p) for p in network.ports}


@pytest.mark.parametrize("which", ["devices", "data", "users"])
def test_nothing_is_routed_out_but_to_the_proxy(tmp_path: Path, which: str) -> None:
    settings = Settings(state=tmp_path)
    network = next(n for n in networks.NETWORKS if n.which == which)
    bridge = networks.bridge_name(settings, which)
    mine = [r for r in rules_of(settings, "DOCKER-USER") if r[:2] == ["-i", bridge]]
    assert mine[-1][2:4] == ["-j", "REJECT"]
    opened = [r for r in mine if r[-1] == "ACCEPT"]
    assert [r[r.index("--dport") + 1] for r in opened] == ([str(network.door)] if network.door else [])
    assert all(settings.proxy_address in r for r in opened)
    # what returns to Docker's own rules is an answer, or stays on the bridge
    assert all("conntrack" in r or r[2:4] == ["-o", bridge] for r in mine if r[-1] == "RETURN")


def test_numbers_of_the_operator_are_routed_for_those_they_are_for(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, egress="packages", notebook_egress="192.0.2.0/24:1883")
    text = [" ".join(rule) for rule in rules_of(settings, "DOCKER-USER")]
    users, devices = (networks.bridge_name(settings, n) for n in ("users", "devices"))
    assert f"-i {users} -d 192.0.2.0/24 -p tcp -m tcp --dport 1883 -j RETURN" in text
    assert not [line for line in text if devices in line and "192.0.2.0" in line]


def test_the_labs_own_network_cannot_be_listed(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, egress="10.77.4.2:8086")
    with pytest.raises(SetupError, match="overlaps the lab's own"):
        firewall.chains(settings)


def test_the_proxy_reaches_no_network_of_the_lab(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    gate = networks.bridge_name(settings, networks.GATE)
    mine = [r for r in rules_of(settings, "DOCKER-USER") if r[:2] == ["-i", gate] and "-o" not in r]
    assert mine[0][2:6] == ["-d", settings.subnet, "-j", "REJECT"]


def test_bridge_names_fit_the_kernel_and_differ_by_lab(tmp_path: Path) -> None:
    names = {
        networks.bridge_name(Settings(state=tmp_path, name=lab), n.which)
        for lab in ("cyberlab", "a-very-long-name-of-a-laboratory")
        for n in networks.NETWORKS
    }
    assert len(names) == 2 * len(networks.NETWORKS)
    assert all(len(n) <= 15 for n in names)


def test_the_networks_do_not_overlap(tmp_path: Path) -> None:
    ranges = [Settings(state=tmp_path).network(n.which) for n in networks.NETWORKS]
    assert not any(a.overlaps(b) for i, a in enumerate(ranges) for b in ranges[i + 1 :])
