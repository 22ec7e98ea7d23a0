from __future__ import annotations

from pathlib import Path

from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import networks


def test_each_network_ends_in_a_refusal_and_users_reach_two_ports(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    rules = networks._rules(settings)
    for network in networks.NETWORKS:
        bridge = networks.bridge_name(settings, network.which)
        mine = [r for r in rules if r[:2] == ["-i", bridge]]
        assert mine[-1][2:4] == ["-j", "REJECT"]
        ports = {r[r.index("--dport") + 1] for r in mine if "--dport" in r}
        assert ports == {str(p) for p in network.ports}


def test_bridge_names_fit_the_kernel_and_differ_by_lab(tmp_path: Path) -> None:
    names = {
        networks.bridge_name(Settings(state=tmp_path, name=lab), n.which)
        for lab in ("cyberlab", "a-very-long-name-of-a-laboratory")
        for n in networks.NETWORKS
    }
    assert len(names) == 6
    assert all(len(n) <= 15 for n in names)


def test_the_three_networks_do_not_overlap(tmp_path: Path) -> None:
    ranges = [Settings(state=tmp_path).network(n.which) for n in networks.NETWORKS]
    assert not any(a.overlaps(b) for i, a in enumerate(ranges) for b in ranges[i + 1 :])
