"""The files of the form: nobody's work is lost, and binary stays binary."""

from __future__ import annotations

from cyberlab.spec.image import FileEntry
from cyberlab.widgets.files import EDITABLE_BYTES, FileShelf
from fake_lab import CATALOGUE

REPLAY, SCRIPT = CATALOGUE.scenarios[0], CATALOGUE.scenarios[1]


def test_text_and_binary_files_come_back_as_entries() -> None:
    shelf = FileShelf((FileEntry(path="a.txt", text="ä\n"), FileEntry(path="b.bin", data="AP8=")))
    assert shelf.entries() == (FileEntry(path="a.txt", text="ä\n"), FileEntry(path="b.bin", data="AP8="))
    assert [row["editable"] for row in shelf.listing()] == [True, False]
    assert shelf.listing()[0]["size"] == 3


def test_uploading_a_file_again_replaces_it_in_its_place() -> None:
    shelf = FileShelf((FileEntry(path="a", text="1"), FileEntry(path="b", text="2")))
    shelf.put("a", b"new")
    assert [entry.text for entry in shelf.entries()] == ["new", "2"]
    shelf.rename("a", "c")
    shelf.remove("b")
    assert [entry.path for entry in shelf.entries()] == ["c"]


def test_a_sample_gives_way_to_the_next_until_it_was_edited() -> None:
    shelf = FileShelf()
    assert shelf.untouched
    shelf.load_sample(REPLAY)
    assert shelf.untouched
    assert shelf.text("main.py") == REPLAY.sample
    shelf.put("main.py", b"mine")
    assert not shelf.untouched


def test_a_spec_that_holds_exactly_the_sample_counts_as_untouched() -> None:
    shelf = FileShelf((FileEntry(path=SCRIPT.sample_path, text=SCRIPT.sample),))
    assert not shelf.untouched
    shelf.adopt_sample(SCRIPT)
    assert shelf.untouched


def test_a_long_text_is_listed_but_not_opened() -> None:
    shelf = FileShelf()
    shelf.put("data.csv", b"1,2\n" * EDITABLE_BYTES)
    assert shelf.first_editable("data.csv") == ""
