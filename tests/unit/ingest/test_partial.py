"""Finding the bad lines of a batch, on a database that refuses what the test says."""

from __future__ import annotations

import pytest
from cyberlab_hub.ingest.partial import MAX_POSTS, Reply, write_all


class Database:
    """Writes what it can; reports one sentence for the rest, as InfluxDB does."""

    def __init__(
        self, *bad: bytes, words: str = "partial write: points beyond retention policy dropped=1"
    ) -> None:
        self.bad, self.words = bad, words
        self.posts = 0
        self.lines: set[bytes] = set()

    def __call__(self, body: bytes) -> Reply:
        self.posts += 1
        lines = body.split(b"\n")
        self.lines |= {line for line in lines if not any(b in line for b in self.bad)}
        wrong = [line for line in lines if any(b in line for b in self.bad)]
        return Reply(ok=not wrong, words=self.words if wrong else "")


BATCH = [b"t value=%d %d" % (i, i) for i in range(1000)]


def test_a_good_batch_is_one_request() -> None:
    database = Database()
    assert write_all(database, b"\n".join(BATCH)) == ()
    assert database.posts == 1


def test_one_bad_line_among_a_thousand() -> None:
    database = Database(b"value=333 ")
    refused = write_all(database, b"\n".join(BATCH))
    assert [(r.line, r.reason) for r in refused] == [
        (334, "InfluxDB says: partial write: points beyond retention policy dropped=1")
    ]
    assert len(database.lines) == 999
    assert database.posts < 25


def test_a_type_conflict_names_all_its_lines_in_one_more_request() -> None:
    conflict = (
        'partial write: field type conflict: input field "value" on measurement "air q" is type string, '
        "already exists as type float dropped=500"
    )
    lines = [
        b'air\\ q,a=b value="x%d" %d' % (i, i) if i % 2 else b"air\\ q value=%d %d" % (i, i)
        for i in range(1000)
    ]
    database = Database(b'value="x', words=conflict)
    refused = write_all(database, b"\n".join(lines))
    assert [line.line for line in refused] == list(range(2, 1001, 2))
    assert "'value' of 'air q' is float in this database and cannot become string" in refused[0].reason
    assert database.posts == 2


@pytest.mark.parametrize(
    ("new", "bad", "good"),
    [
        ("integer", b"t v=1i,w=2 5", b"t v=1,w=2i 5"),
        ("float", b"t v=1.5 5", b"t v=1i 5"),
        ("float", b"t v=1e3,w=2 5", b"t v=10i,w=2 5"),
        ("boolean", b"t v=true 5", b"t v=1 5"),
        ("string", b't w=1,v="1" 5', b't w="1",v=1 5'),
    ],
)
def test_each_type_is_told_from_the_others(new: str, bad: bytes, good: bytes) -> None:
    words = f'field type conflict: input field "v" on measurement "t" is type {new}, already exists as type x'
    refused = write_all(Database(bad, words=words), bad + b"\n" + good)
    assert [r.line for r in refused] == [1]


def test_a_batch_of_only_bad_lines_does_not_make_thousands_of_requests() -> None:
    database = Database(b"value")
    assert len(write_all(database, b"\n".join(BATCH))) == 1000
    assert database.posts < MAX_POSTS + 20


def test_the_line_itself_is_not_repeated_in_the_reason() -> None:
    database = Database(b"t", words="unable to parse 't secret=1': bad timestamp")
    (refused,) = write_all(database, b"t secret=1")
    assert refused.reason == "InfluxDB says: bad timestamp"
