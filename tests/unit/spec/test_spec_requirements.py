from __future__ import annotations

import pytest
from cyberlab.spec.requirements import npm_package, pip_requirement


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("numpy", "numpy"),
        ("  NumPy == 2.1.0 ", "numpy==2.1.0"),
        ("Zope.Interface", "zope-interface"),
        ("a__b", "a-b"),
        ("fastapi[standard, all] < 1, >= 0.110", "fastapi[all,standard]<1,>=0.110"),
        ("torch==2.4.0+cpu", "torch==2.4.0+cpu"),
        ("x~=1.4.2", "x~=1.4.2"),
        ("x==1.*,!=1.3.*", "x!=1.3.*,==1.*"),
        ("x>=1.0rc1.post2.dev3", "x>=1.0rc1.post2.dev3"),
        ("x==1!2.0", "x==1!2.0"),
        ("x[]", None),
        ("", None),
        ("-x", None),
        ("x-", None),
        ("x==", None),
        ("x=1", None),
        ("x===1", None),
        ("x>=1.*", None),
        ("x==1,", None),
        ("x==1 y", None),
        ("x y", None),
        ("x;os_name=='nt'", None),
        ("x @ https://example.org/x.whl", None),
        ("x'", None),
        ("x$(id)", None),
        ("x`id`", None),
        ("x\\", None),
        ("x\n", None),
        ("x\n--index-url=y", None),
        ("x==1\r", None),
        ("x==١", None),
        ("ｘ", None),
        ("x" * 101, None),
    ],
)
def test_pip_requirement(text: str, normal: str | None) -> None:
    requirement = pip_requirement(text)
    assert (str(requirement) if requirement else None) == normal


@pytest.mark.parametrize(
    "text",
    [
        "mqtt",
        "mqtt@5.0.0",
        "mqtt@^5",
        "mqtt@~5.1",
        "mqtt@>=5",
        "mqtt@5.0.0-rc.1",
        "mqtt@latest",
        "@scope/x",
        "@s/x@1.2",
    ],
)
def test_npm_package(text: str) -> None:
    assert str(npm_package(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-g",
        "--prefix=/",
        "user/repo",
        "mqtt@",
        "mqtt@npm:evil",
        "mqtt@file:.",
        "git+ssh://x",
        "../x",
        "Mqtt",
        "x y",
        "x\n",
        "@s",
        "@s/",
        "x@1 || 2",
    ],
)
def test_what_npm_may_not_be_told(text: str) -> None:
    assert npm_package(text) is None
