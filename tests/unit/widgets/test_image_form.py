"""The form as its browser half uses it: messages up, traits down, work in threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from bad_archives import zipped
from cyberlab.errors import PartDown, SpecRefused, Unreachable
from cyberlab.spec.image import ImageSpec
from cyberlab.widgets import ImageForm
from cyberlab.wire import ErrorInfo, Problem
from fake_lab import FakeLab, until


class Browser:
    """Sends wishes as the page does, and keeps the logs that arrive."""

    def __init__(self, form: ImageForm) -> None:
        self.form = form
        self.logs: dict[str, list[str]] = {}
        self.focused = ""
        self._seq = 0
        form.send = self._take  # type: ignore[method-assign]  # what would go over the wire
        self.do("hello")

    def _take(self, content: dict[str, Any], buffers: object = None) -> None:
        if "problem" in content:
            self.focused = content["problem"]
            return
        lines = self.logs.setdefault(content["log"], [])
        if content["fresh"]:
            lines.clear()
        lines.extend(content["lines"])

    def do(self, wish: str, *, content: bytes | None = None, **values: Any) -> None:
        buffers = [] if content is None else [memoryview(content)]
        self.form._on_message(self.form, {"do": wish, **values}, buffers)

    def type(self, key: str, value: Any) -> None:
        self._seq += 1
        self.do("set", key=key, value=value, seq=self._seq)

    def problems(self) -> dict[str, str]:
        return {problem["field"]: problem["code"] for problem in self.form.problems}

    def build(self) -> None:
        self.do("build")
        self.wait("build")

    def wait(self, panel: str) -> None:
        until(lambda: getattr(self.form, f"{panel}_state")["phase"] in ("done", "failed", "cancelled"))


@pytest.fixture
def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
def browser(lab: FakeLab) -> Browser:
    form = ImageForm(lab)  # type: ignore[arg-type]  # FakeLab has what the form asks for
    until(lambda: form.devices)
    return Browser(form)


def test_a_new_form_can_be_built_as_it_is(browser: Browser) -> None:
    form = browser.form
    assert form.problems == []
    assert "FROM cyberlab/python" in form.dockerfile
    assert form.files[0]["path"] == "main.py"
    assert "publish(" in form.open_file["text"]


def test_the_dockerfile_and_the_problems_follow_the_typing(browser: Browser) -> None:
    browser.type("pip_text", "numpy==2.1.0")
    assert "numpy==2.1.0" in browser.form.dockerfile
    browser.type("name", "Not A Name")
    browser.type("ports", "80a")
    assert set(browser.problems()) == {"name", "ports"}
    assert browser.form.draft["_seq"] == 3


def test_nothing_is_built_while_there_are_problems(browser: Browser, lab: FakeLab) -> None:
    browser.type("name", "")
    browser.do("build")
    assert lab.specs == []
    assert browser.focused == "name"
    assert not browser.form.build_state["busy"]


def test_a_build_ends_in_an_image_its_log_and_the_next_step(browser: Browser, lab: FakeLab) -> None:
    browser.type("name", "greenhouse")
    browser.build()
    form = browser.form
    assert form.image is not None
    assert form.image.ref == "student/greenhouse:1"
    assert lab.specs == [form.spec]
    assert "Step 1/5 : FROM cyberlab/python" in browser.logs["build"]
    assert "Try it out" in form.build_state["next"]
    assert form.image_state == {"ref": "student/greenhouse:1", "size_mb": 191, "outdated": False}


def test_an_edit_after_the_build_outdates_the_image_and_back_again(browser: Browser) -> None:
    browser.build()
    browser.type("env", [{"key": "SPEED", "value": "9"}])
    assert browser.form.image_state["outdated"]
    browser.type("env", [])
    assert not browser.form.image_state["outdated"]


def test_the_labs_own_problems_stand_beside_their_fields_until_the_next_edit(
    browser: Browser, lab: FakeLab
) -> None:
    problem = Problem(path="name", code="name-taken", message="You have another image of this name.")
    lab.refuse = SpecRefused("spec-refused", "One thing is to repair.", [problem])
    browser.build()
    assert browser.problems() == {"name": "name-taken"}
    assert browser.form.build_state["error"]["message"] == "One thing is to repair."
    browser.type("name", "another")
    assert browser.problems() == {}


def test_what_the_lab_refused_can_be_asked_again_without_an_edit(browser: Browser, lab: FakeLab) -> None:
    problem = Problem(path="name", code="name-taken", message="You have another image of this name.")
    lab.refuse = SpecRefused("spec-refused", "One thing is to repair.", [problem])
    browser.build()
    lab.refuse = None
    browser.build()
    until(lambda: browser.form.image)


def test_a_failed_build_says_why_and_leaves_no_image(browser: Browser, lab: FakeLab) -> None:
    lab.fail = ErrorInfo(code="build-failed", message="There is no Python package called nunpy.")
    browser.build()
    assert browser.form.image is None
    assert browser.form.build_state["error"]["code"] == "build-failed"
    assert browser.form.build_state["next"] == ""


def test_the_lab_that_does_not_answer_is_an_error_not_a_busy_panel(browser: Browser, lab: FakeLab) -> None:
    lab.refuse = Unreachable("unreachable", "The lab does not answer.")
    browser.build()
    assert browser.form.build_state["error"]["message"] == "The lab does not answer."
    assert not browser.form.build_state["busy"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_form_itself_does_not_leave_the_panel_busy(browser: Browser, lab: FakeLab) -> None:
    lab.refuse = ZeroDivisionError()  # type: ignore[assignment]  # anything that nobody expected
    browser.build()
    assert browser.form.build_state["error"]["code"] == "form-fault"


def test_cancel_stops_the_job(lab: FakeLab) -> None:
    lab.pace = 0.05
    browser = Browser(ImageForm(lab))  # type: ignore[arg-type]  # as above
    browser.do("build")
    until(lambda: browser.form.build_state.get("job"))
    browser.do("cancel", panel="build")
    browser.wait("build")
    assert browser.form.build_state["phase"] == "cancelled"
    assert browser.form.image is None


def test_try_out_deploy_and_stop(browser: Browser, lab: FakeLab) -> None:
    browser.do("try", seconds=10)
    assert browser.form.trial_state["phase"] == "", "without an image there is nothing to try"
    browser.build()
    browser.do("try", seconds=10)
    browser.wait("trial")
    assert '{"measurement": "temperature", "value": 8.4}' in browser.logs["trial"]
    browser.do("deploy", name="greenhouse", devices=["pi01", "pi02"], cluster=None)
    browser.wait("deploy")
    state = browser.form.deploy_state
    assert [(task["device"], task["state"]) for task in state["tasks"]] == [
        ("pi01", "running"),
        ("pi02", "running"),
    ]
    until(lambda: browser.form.deployments)
    browser.do("stop", name="greenhouse")
    until(lambda: not browser.form.deployments)
    until(lambda: "stopped" in browser.form.deploy_state["next"])


def test_a_device_that_went_away_is_told_in_the_deployments_panel(browser: Browser, lab: FakeLab) -> None:
    browser.build()
    away = Problem(path="devices[0]", code="device-away", message="pi02 is away: choose another device.")
    lab.refuse = SpecRefused("spec-refused", "The deployment was not started.", [away])
    browser.do("deploy", name="greenhouse", devices=["pi02"], cluster=None)
    browser.wait("deploy")
    assert "pi02 is away" in browser.form.deploy_state["error"]["message"]
    assert browser.problems() == {}, "`devices` of the form is the hardware that a program needs"


def test_a_form_opened_again_offers_the_job_that_still_runs_and_shows_it(lab: FakeLab) -> None:
    lab.pace = 0.05
    first = Browser(ImageForm(lab))  # type: ignore[arg-type]  # as above
    first.do("build")
    until(lambda: first.form.build_state.get("job"))
    again = Browser(ImageForm(lab))  # type: ignore[arg-type]  # as above
    until(lambda: again.form.offers)
    assert again.form.offers == [{"id": "build-1", "kind": "build", "name": "my-first-image"}]
    again.do("watch", job="build-1")
    again.wait("build")
    assert again.form.image is not None
    assert len(again.logs["build"]) == 10
    first.wait("build")


def test_a_page_opened_again_gets_the_log_again(browser: Browser) -> None:
    browser.build()
    log = list(browser.logs["build"])
    browser.logs.clear()
    browser.do("hello")
    assert browser.logs["build"] == log


def test_another_scenario_brings_its_sample_only_while_the_files_are_untouched(browser: Browser) -> None:
    browser.do("scenario", name="run-script")
    assert "hello from" in browser.form.open_file["text"]
    browser.do("edit", path="main.py", text="print('mine')\n")
    browser.do("scenario", name="replay-temperature")
    assert browser.form.spec.files[0].text == "print('mine')\n"
    browser.do("base", name="node")
    assert browser.form.spec.files[0].text == "print('mine')\n"


def test_files_can_be_uploaded_renamed_and_removed(browser: Browser) -> None:
    browser.do("upload", path="data.bin", content=b"\x00\xff")
    assert [(row["path"], row["editable"]) for row in browser.form.files] == [
        ("main.py", True),
        ("data.bin", False),
    ]
    browser.do("rename", path="data.bin", new="sub/data.bin")
    assert browser.form.spec.files[1].path == "sub/data.bin"
    browser.do("rename", path="sub/data.bin", new="../up")
    assert "files.1" in browser.problems()
    browser.do("remove", path="../up")
    assert browser.problems() == {}


def test_a_lab_that_is_away_when_the_form_opens_can_be_tried_again(lab: FakeLab) -> None:
    lab.down = Unreachable("unreachable", "The lab does not answer. Try again in a minute.")
    browser = Browser(ImageForm(lab))  # type: ignore[arg-type]  # as above
    until(lambda: browser.form.notice)
    lab.down = None
    browser.do("refresh")
    until(lambda: browser.form.devices)
    assert browser.form.notice == ""
    assert browser.form.problems == []


def test_code_cells_can_fill_the_form(browser: Browser) -> None:
    browser.form.spec = ImageSpec(name="from-code", base="node", scenario="run-node", npm=("mqtt",))
    assert browser.form.draft["libraries"] == ["npm:mqtt"]
    assert browser.form.spec.name == "from-code"


def test_a_message_that_nobody_knows_changes_nothing(browser: Browser) -> None:
    before = dict(browser.form.draft)
    browser.do("format-the-disk")
    assert browser.form.draft == before


# ---------------------------------------------------------------- archives, folders, advice
def test_an_archive_takes_the_place_of_the_sample_and_keeps_its_folder_later(lab: FakeLab) -> None:
    browser = Browser(ImageForm(lab))  # type: ignore[arg-type]
    browser.do("unpack", path="p.zip", content=zipped(("p/main.py", b"print(1)\n"), ("p/.git/x", b"")))
    assert [row["path"] for row in browser.form.files] == ["main.py"]
    assert browser.form.open_file["text"] == "print(1)\n"
    assert browser.form.upload == {
        "said": "1 file of p.zip added. 1 hidden or generated left out.",
        "refused": False,
    }
    browser.do("unpack", path="lib.zip", content=zipped(("lib/a.py", b"")))
    assert [row["path"] for row in browser.form.files] == ["main.py", "lib/a.py"]
    browser.do("edit", path="main.py", text="x")
    assert browser.form.upload["said"] == ""


@pytest.mark.parametrize("name", ["../up.py", "/etc/passwd", "C:/x"])
def test_a_bad_archive_adds_nothing_and_says_why(lab: FakeLab, name: str) -> None:
    browser = Browser(ImageForm(lab))  # type: ignore[arg-type]
    before = browser.form.files
    browser.do("unpack", path="bad.zip", content=zipped(("ok.py", b""), (name, b"x")))
    assert browser.form.files == before
    assert browser.form.upload["refused"]
    assert browser.form.upload["said"].startswith("bad.zip was not added. ")


def test_a_folder_comes_as_one_message(lab: FakeLab) -> None:
    form = ImageForm(lab)  # type: ignore[arg-type]
    content = {"do": "folder", "name": "p", "paths": ["p/main.py", "p/data/a.csv", "p/__pycache__/x"]}
    form._on_message(form, content, [memoryview(b"1"), memoryview(b"2"), memoryview(b"3")])
    assert [row["path"] for row in form.files] == ["data/a.csv", "main.py"]


def test_advice_follows_the_text_and_is_asked_for_only_where_it_helps(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cyberlab.widgets.advice.PAUSE_SECONDS", 0.01)
    browser = Browser(ImageForm(lab))  # type: ignore[arg-type]
    browser.type("workdir", "/home/app")
    assert browser.form.advice == []
    browser.type("pip_text", "numpy")
    until(lambda: browser.form.advice)
    (row,) = browser.form.advice
    assert browser.form.dockerfile.split("\n")[row["line"] - 1] == "RUN pip install \\"
    asked = lab.advised
    browser.type("pip_text", "")
    assert browser.form.advice == []
    assert lab.advised == asked


def test_a_lab_without_advice_says_nothing(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def none(_: ImageSpec) -> None:
        asked.set()
        raise PartDown("advice-unavailable", "This lab gives no advice.")

    monkeypatch.setattr("cyberlab.widgets.advice.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(lab, "advice", none)
    browser = Browser(ImageForm(lab))  # type: ignore[arg-type]
    browser.type("pip_text", "numpy")
    assert asked.wait(5)
    assert (browser.form.advice, browser.form.notice) == ([], "")
