"""Which InfluxQL a reader may send at all: SELECT, and SHOW of what their database holds.

Whose data a query may read is InfluxDB's own decision (its users have READ and nothing else). This gate exists because
READ allows more than reading: InfluxDB 1.6 lets such a user create a continuous query, which writes for ever
after, shows everyone's running and continuous queries, and counts the series of any database (SHOW ... CARDINALITY
asks for no right at all).
"""

from __future__ import annotations

import re

from cyberlab_hub.errors import QueryRefused

MAX_BYTES = 16_000
"""Of UTF-8. Percent-encoded it must still fit into a URL."""

_ALLOWED = re.compile(
    r"\s*(?:\Z|SELECT\b|SHOW\s+(?:MEASUREMENTS|SERIES|TAG\s+(?:KEYS|VALUES)|FIELD\s+KEYS)\b(?!.*\bCARDINALITY\b))",
    re.IGNORECASE | re.DOTALL,
)


def check_reads(influxql: str) -> None:
    """Raise QueryRefused unless every statement only reads.

    Each semicolon, even one inside quotes, counts as the end of a statement: that refuses a few harmless texts,
    but never misses a statement, whatever InfluxDB's own parser makes of quotes, comments and regular expressions.
    """
    if len(influxql.encode(errors="replace")) > MAX_BYTES:
        raise QueryRefused("query-refused", f"The query is longer than {MAX_BYTES} bytes. Split it.")
    if not influxql.strip().strip(";"):
        raise QueryRefused("query-refused", "The query is empty. Try: SHOW MEASUREMENTS")
    for statement in influxql.split(";"):
        if not _ALLOWED.match(statement):  # a prefix is what is asked for here
            start = " ".join(statement.split())[:60]
            raise QueryRefused(
                "query-refused",
                f"A query here only reads: it begins with SELECT, SHOW MEASUREMENTS, SHOW TAG KEYS, SHOW TAG VALUES, "
                f"SHOW FIELD KEYS or SHOW SERIES, and so does whatever follows a semicolon. This does not: {start}",
            )
