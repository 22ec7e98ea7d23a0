"""The doctor's own shape: the table, running checks, what is shown. And what it reads: sockets, flags, rules."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cyberlab_hub.errors import PartDown, SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import doctor
from cyberlab_hub.setup.doctor import (
    CannotTell,
    Check,
    Finding,
    Patient,
    Wrong,
    inside,
    ports,
    procfs,
    report,
)
from cyberlab_hub.setup.doctor.check import LAYERS, check
from cyberlab_hub.setup.doctor.firewall import list_problems
from rich.console import Console

OPERATING = Path(__file__).parents[3] / "docs" / "operating.md"


def run(*looks: Callable[[Patient], str], seconds: float = 30) -> dict[str, Finding]:
    checks = [
        Check(f"c{n}", LAYERS[0], "it holds", "make {name} whole", look) for n, look in enumerate(looks)
    ]
    told: list[Finding] = []
    found = doctor.examine(Patient(Settings(state=Path("/nowhere"))), checks, told.append, seconds)
    assert sorted(told, key=lambda f: f.id) == sorted(found, key=lambda f: f.id)
    return {finding.id: finding for finding in found}


# ---------------------------------------------------------------- the table
def test_every_check_says_what_it_promises_and_how_to_mend_it() -> None:
    assert {c.layer for c in doctor.TABLE.values()} == set(LAYERS)
    for one in doctor.TABLE.values():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", one.id)
        assert "\n" not in one.promise
        assert len(one.promise) > 20
        assert one.mend.format(name="n", state="s", secrets="x", certs="c")


def test_an_id_is_given_once_and_a_layer_is_known() -> None:
    for name, layer in (("engine-flags", LAYERS[0]), ("new-one", "cellar")):
        with pytest.raises(ValueError, match="exists already"):
            check(name, layer, "promise", "mend")(lambda _: "")
    assert "new-one" not in doctor.TABLE


def test_the_manual_explains_every_layer() -> None:
    text = OPERATING.read_text()
    assert not [layer for layer in LAYERS if layer not in text]


def test_checks_are_chosen_by_id_and_by_layer() -> None:
    assert [c.id for c in doctor.chosen(["firewall-hook"])] == ["firewall-hook"]
    assert {c.layer for c in doctor.chosen(["files", "way-out"])} == {"files", "way out"}
    assert len(doctor.chosen([])) == len(doctor.TABLE)
    with pytest.raises(SetupError, match="no check and no layer 'cellar'"):
        doctor.chosen(["cellar"])


# ---------------------------------------------------------------- running them
def raises(error: Exception) -> Callable[[Patient], str]:
    def look(_: Patient) -> str:
        raise error

    return look


def test_what_breaks_ends_no_other_check_and_is_never_good() -> None:
    found = run(
        lambda _: "seen",
        raises(Wrong("a", "b")),
        raises(CannotTell("away")),
        raises(KeyError("x")),
        raises(PartDown("engine-down", "it does not answer")),
    )
    assert [found[f"c{n}"].state for n in range(5)] == [
        "ok",
        "wrong",
        "cannot-tell",
        "cannot-tell",
        "cannot-tell",
    ]
    assert found["c1"].details == ("a", "b")
    assert found["c1"].mend == "make cyberlab whole"
    assert found["c0"].mend == ""
    assert "KeyError" in found["c3"].details[0]
    assert found["c4"].details == ("[engine-down] it does not answer",)


def test_what_hangs_is_given_up_and_the_others_are_told() -> None:
    never = threading.Event()

    def hangs(_: Patient) -> str:
        never.wait()
        return ""

    try:
        found = run(hangs, hangs, hangs, lambda _: "seen", seconds=0.3)
    finally:
        never.set()
    assert [found[f"c{n}"].state for n in range(4)] == ["cannot-tell"] * 3 + ["ok"]
    assert "no answer within" in found["c0"].details[0]


def test_the_worst_comes_first() -> None:
    found = list(run(lambda _: "", raises(CannotTell("x")), raises(Wrong("y"))).values())
    assert [f.state for f in found] == ["wrong", "cannot-tell", "ok"]


# ---------------------------------------------------------------- what is shown
def finding(state: str, *details: str, mend: str = "make up") -> Finding:
    return Finding(f"a-{state}", "firewall", f"promise of {state}", state, details, mend)  # type: ignore[arg-type]


def test_the_exit_status_tells_wrong_from_unknown() -> None:
    good, bad, unknown = finding("ok"), finding("wrong"), finding("cannot-tell")
    assert report.exit_status([good]) == 0
    assert report.exit_status([good, unknown]) == 2
    assert report.exit_status([good, unknown, bad]) == 1


def test_a_person_reads_cause_and_next_step_before_what_is_in_order() -> None:
    page = io.StringIO()
    found = [finding("wrong", "chain [X] is gone"), finding("ok", "all seen")]
    report.show(found, Console(file=page, width=120))
    text = page.getvalue()
    assert text.index("chain [X] is gone") < text.index("next: make up") < text.index("promise of ok")
    assert "1 wrong, 0 could not be looked at, 1 in order" in text


def test_a_script_reads_everything() -> None:
    found = json.loads(report.as_json([finding("wrong", *map(str, range(30))), finding("ok")]))
    assert found["counts"] == {"wrong": 1, "cannot-tell": 0, "ok": 1}
    assert len(found["checks"][0]["details"]) == 30
    assert found["checks"][0]["mend"] == "make up"


def test_nothing_is_asked_of_an_address_beyond_this_machine(tmp_path: Path) -> None:
    """With the lab down its addresses lead elsewhere: passwords must not follow. 192.0.0.0/16 is not here."""
    away = Settings(state=tmp_path, subnet="192.0.0.0/16")
    names = ("proxy-refuses", "registry-strangers", "influx-strangers", "web-strangers", "engine-strangers")
    found = doctor.examine(Patient(away), doctor.chosen(names), lambda _: None)
    assert {f.state for f in found} == {"cannot-tell"}
    assert all("is not up" in f.details[0] for f in found), found


# ---------------------------------------------------------------- sockets
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0B004D0A:9516 02004D0A:0949 01 00000000:00000000 02:000000C5 00000000     0        0 222 2 0 20 4 26 112 -1
   2: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
"""
TCP6 = """  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F40 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 444 1 0
   1: 0000000000000000FFFF00000100007F:1F41 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 555 1 0
"""


def test_listening_sockets_are_read_as_the_kernel_writes_them() -> None:
    assert procfs.parse(TCP) == [procfs.Socket("127.0.0.1", 8000, 111), procfs.Socket("0.0.0.0", 2024, 333)]  # noqa: S104
    assert procfs.parse(TCP6) == [procfs.Socket("::", 8000, 444), procfs.Socket("127.0.0.1", 8001, 555)]


def test_a_family_is_what_a_program_started() -> None:
    def made(pid: int, parent: int) -> procfs.Program:
        return procfs.Program(pid, parent, "x", (), "")

    everyone = [made(1, 0), made(5, 1), made(6, 5), made(7, 6), made(8, 1)]
    assert {p.pid for p in procfs.family(everyone, 5)} == {5, 6, 7}


def test_a_port_too_many_and_one_too_few_are_told() -> None:
    settings = Settings(state=Path("/nowhere"))
    table = ports.expected(settings)
    good = {n: [procfs.Socket(a, p, 1) for a, p in places] for n, places in table.items()}
    assert ports.port_problems(table, good) == []
    opened = {**good, "lab": [*good["lab"], procfs.Socket("0.0.0.0", 9999, 2)]}  # noqa: S104
    assert "lab listens on 0.0.0.0:9999 (every address" in ports.port_problems(table, opened)[0]
    assert "does not listen" in ports.port_problems(table, {**good, "ingest": []})[0]


# ---------------------------------------------------------------- inside an engine
ARGV = (
    "dockerd",
    "--userns-remap=default",
    "--no-new-privileges",
    "--icc=false",
    "--default-runtime",
    "caged",
    "-H",
    "unix:///var/run/docker.sock",
)
WORKSHOP = (*ARGV, "--authorization-plugin=warden", "-H", "tcp://0.0.0.0:2376", "--tlsverify")


def test_good_flags_are_good() -> None:
    assert inside.flag_problems(ARGV, warden=False) == []
    assert inside.flag_problems(WORKSHOP, warden=True) == []


@pytest.mark.parametrize("flag", ["--userns-remap=default", "--no-new-privileges", "--icc=false"])
def test_a_missing_flag_is_told(flag: str) -> None:
    argv = [word for word in ARGV if word != flag]
    assert inside.flag_problems(argv, warden=False) == [f"dockerd runs without {flag}"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("-H", "tcp://0.0.0.0:2375"), "tcp://0.0.0.0:2375"),
        (("--host=tcp://0.0.0.0:2375",), "tcp://0.0.0.0:2375"),
        (("--icc=true",), "--icc=true"),
        (("--default-runtime=runc",), "runc"),
        (("--userns-remap=",), "--userns-remap="),
        (("--seccomp-profile=unconfined",), "seccomp"),
    ],
)
def test_a_flag_too_many_is_told(more: tuple[str, ...], word: str) -> None:
    for argv, warden in ((ARGV, False), (WORKSHOP, True)):
        assert word in " ".join(inside.flag_problems((*argv, *more), warden=warden))


def test_an_engine_that_listens_needs_tls_and_the_warden() -> None:
    argv = [word for word in WORKSHOP if word not in ("--tlsverify", "--authorization-plugin=warden")]
    assert len(inside.flag_problems(argv, warden=True)) == 2


ALLOW = "10.77.5.2:3128 10.20.0.0/16:1883"
RULES = """-P FORWARD ACCEPT
-A INPUT -i eth0 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-USER -j LAB-OUT
-A DOCKER-USER -j RETURN
-A LAB-OUT -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A LAB-OUT -d 10.77.5.2/32 -o eth0 -p tcp -m tcp --dport 3128 -j RETURN
-A LAB-OUT -d 10.20.0.0/16 -o eth0 -p tcp -m tcp --dport 1883 -j RETURN
-A LAB-OUT -i eth0 -j RETURN
-A LAB-OUT -o eth0 -j REJECT --reject-with icmp-port-unreachable
"""


def test_good_rules_are_good() -> None:
    assert inside.filter_problems(RULES, ALLOW) == []


@pytest.mark.parametrize(
    "line",
    ["-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j LAB-OUT", RULES.splitlines()[2]],
)
def test_a_missing_hook_or_end_is_told(line: str) -> None:
    assert inside.filter_problems(RULES.replace(f"{line}\n", ""), ALLOW)


@pytest.mark.parametrize("line", [x for x in RULES.splitlines() if "LAB-OUT -" in x])
def test_each_rule_of_the_way_out_counts(line: str) -> None:
    assert inside.filter_problems(RULES.replace(f"{line}\n", ""), ALLOW)
    assert inside.filter_problems(RULES.replace(line, f"-A LAB-OUT -j RETURN\n{line}"), ALLOW)


def test_a_hook_that_comes_second_is_told() -> None:
    second = RULES.replace("-A DOCKER-USER -j LAB-OUT", "-A DOCKER-USER -j ACCEPT\n-A DOCKER-USER -j LAB-OUT")
    assert "DOCKER-USER is not" in inside.filter_problems(second, ALLOW)[0]


def test_another_order_is_told() -> None:
    lines = RULES.splitlines()
    lines[-1], lines[-2] = lines[-2], lines[-1]
    assert "order" in inside.filter_problems("\n".join(lines), ALLOW)[0]


# ---------------------------------------------------------------- the proxy's list
SQUID = (
    "http_port 3128\nacl never dst 127.0.0.0/8 10.77.0.0/16\nhttp_access deny never\nhttp_access deny all\n"
)


def test_a_list_that_differs_is_told() -> None:
    assert list_problems(SQUID, SQUID) == []
    assert list_problems(SQUID, SQUID.replace("10.77.0.0/16", "10.77.0.0/16 192.0.2.1")) == []
    assert "10.77.0.0/16" in list_problems(SQUID, SQUID.replace(" 10.77.0.0/16", ""))[0]
    assert "nobody asked" in list_problems(SQUID, f"http_access allow all\n{SQUID}")[0]
    assert "missing" in list_problems(SQUID, SQUID.replace("http_access deny never\n", ""))[0]
    swapped = "http_port 3128\nacl never dst 127.0.0.0/8 10.77.0.0/16\nhttp_access deny all\nhttp_access deny never\n"
    assert "order" in list_problems(SQUID, swapped)[0]
