"""Only questions pass. (That InfluxDB itself refuses the rest is in ``tests/contract/test_store.py``.)"""

from __future__ import annotations

import pytest
from cyberlab_hub.errors import QueryRefused
from cyberlab_hub.ingest.gate import check_reads


@pytest.mark.parametrize(
    "influxql",
    [
        "SELECT mean(value) FROM t WHERE time > now() - 1h GROUP BY time(1m), device",
        "  select * from t",
        "SHOW MEASUREMENTS",
        "show field keys; show tag keys;",
        'SHOW TAG VALUES FROM "t" WITH KEY = "device"',
        "SHOW SERIES",
        "SELECT a FROM t;\nSELECT b FROM t;",
        "SELECT a FROM t -- comment",
    ],
)
def test_questions(influxql: str) -> None:
    check_reads(influxql)


@pytest.mark.parametrize(
    "influxql",
    [
        "",
        ";",
        "  \n",
        "DROP DATABASE x",
        "SELECTED",
        "SHOW USERS",
        "SHOW SERIES CARDINALITY",
        'SHOW SERIES EXACT\ncardinality ON "u_ben"',
        'SHOW MEASUREMENT EXACT CARDINALITY ON "u_ben"',
        'SHOW TAG VALUES/**/CARDINALITY ON "u_ben" WITH KEY = "room"',
        "SHOW QUERIES",
        "SHOW DATABASES; SELECT 1",
        "SELECT a FROM t; DROP SERIES FROM t",
        "SELECT a FROM t WHERE s = 'x; DROP SERIES FROM t'",
        "SELECT a FROM t; -- x\n DROP SERIES FROM t",
        "/* */ SELECT a FROM t",
        "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO x FROM t GROUP BY time(1m) END",
        "EXPLAIN SELECT a FROM t",
        "SELECT " + "a" * 16_000,
    ],
)
def test_anything_else(influxql: str) -> None:
    with pytest.raises(QueryRefused) as refusal:
        check_reads(influxql)
    assert refusal.value.code == "query-refused"
