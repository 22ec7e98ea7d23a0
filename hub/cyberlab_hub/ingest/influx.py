"""HTTP to any InfluxDB with `/query` and line protocol: what 1.x and 2.x have in common.

A CSV answer of InfluxDB has no place for an error: a query that fails after the headers simply ends, and looks
like one with few rows. So every streamed query is followed by a second statement whose answer is short and known.
InfluxDB runs it only if the first went well; when it is missing at the end, something went wrong, and we ask what.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit

from cyberlab.wire import Measurement, RefusedLine
from urllib3 import BaseHTTPResponse, Timeout, connection_from_url
from urllib3.exceptions import HTTPError

from cyberlab_hub.errors import HubError, NotAllowed, NotFound, PartDown, QueryRefused
from cyberlab_hub.ingest.gate import check_reads
from cyberlab_hub.ingest.halves import Halves
from cyberlab_hub.ingest.partial import Reply, write_all

DOWN = (
    "The database of readings (InfluxDB) does not answer. Devices keep what they measure and send it later. "
    "Try again in a minute; if it goes on, ask the operator to look at `cyberlab-hub status`."
)
NOT_SHARED = "These readings are not shared with you. Their owner can do that: lab.share('your name')."
_END = b"name,tags,name,duration,"
"""How the answer to SHOW RETENTION POLICIES begins."""
_END_ROOM = 8192
"""Bytes held back while streaming: more than that answer ever has."""
_PIECE = 1 << 16
_CONNECTIONS = 32
_SECONDS = 60.0
"""Longest wait for a free connection, and for each part of an answer."""


class LoginRefused(Exception):
    """InfluxDB does not know these credentials (any more)."""


class Influx:
    """One pool of connections. `headers` carry the credentials of whoever the call is for."""

    def __init__(self, url: str, write_path: str) -> None:
        self._path = urlsplit(url).path.rstrip("/")
        self._write_path = write_path
        # reads no proxy of the machine: a campus proxy has no business between the lab and its database
        self._http = connection_from_url(url, maxsize=_CONNECTIONS, block=True)
        self._halves = Halves()

    def close(self) -> None:
        self._halves.close()
        self._http.close()

    def ping(self) -> str:
        response = self._send("GET", "/ping", timeout=5)
        if response.status >= 400:
            raise PartDown("database-down", DOWN)
        return response.headers.get("X-Influxdb-Version", "unknown").removeprefix("v")

    # ------------------------------------------------------------ writing
    def write(
        self, params: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[RefusedLine, ...]:
        """Write lines of nanoseconds; returns those that InfluxDB refused.

        Raises:
            NotFound: ``database-missing``. LoginRefused. PartDown: ``database-down``.
        """

        def post(lines: bytes) -> Reply:
            response = self._send("POST", self._write_path, params, headers, lines)
            if response.status < 300:
                return Reply(ok=True)
            words = _words(response)
            if response.status == 401:
                raise LoginRefused(words)
            if response.status == 404:
                raise NotFound("database-missing", f"InfluxDB has no database for these points: {words}")
            if response.status in (400, 413, 422):
                return Reply(ok=False, words=words)
            raise PartDown("database-down", f"{DOWN} (It said: {words})")

        return self._halves.write(lambda part: write_all(post, part), body)

    # ------------------------------------------------------------ reading
    def stream(self, database: str, influxql: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        """See `Store.query`. Errors that InfluxDB finds before the first rows are raised by this call itself."""
        check_reads(influxql)
        followed = f"{influxql}\n;SHOW RETENTION POLICIES ON {ident(database)}"
        params = {"db": database, "q": followed, "epoch": "ns", "chunked": "true"}
        csv = {**headers, "Accept": "application/csv"}
        response = self._send("GET", "/query", params, csv, stream=True)
        if response.status != 200:
            try:
                refusal = _refusal(response)
            except HTTPError as error:
                raise PartDown("database-down", DOWN) from error
            finally:
                _give_back(response)
            raise refusal
        rows = self._rows(response, database, influxql, headers)
        return _resumed(next(rows, b""), rows)

    def _rows(
        self, response: BaseHTTPResponse, database: str, influxql: str, headers: Mapping[str, str]
    ) -> Generator[bytes, None, None]:
        held = b""
        sent = False
        try:
            for part in response.stream(_PIECE):
                held += part
                if len(held) > _END_ROOM:
                    yield held[:-_END_ROOM]
                    held = held[-_END_ROOM:]
                    sent = True
        except HTTPError as error:
            raise PartDown("database-down", f"The answer was cut off. {DOWN}") from error
        finally:
            _give_back(response)
        end = held.rfind(_END)
        if end >= 0:
            rest = held[:end]
            yield rest[:-1] if rest.endswith(b"\n\n") else rest
        elif sent:
            raise PartDown(
                "database-down", "InfluxDB broke off in the middle of the answer. Ask for less at once."
            )
        else:
            raise self._reason(database, influxql, headers)

    def _reason(self, database: str, influxql: str, headers: Mapping[str, str]) -> HubError:
        """Ask the failed query again as JSON, which has room for the error."""
        try:
            self.ask(database, influxql, headers, method="GET", timeout=15)
        except HubError as error:
            return error
        return PartDown(
            "database-down", "InfluxDB gave no answer to the query. Try it again, or ask for less at once."
        )

    def ask(
        self,
        database: str,
        influxql: str,
        headers: Mapping[str, str],
        *,
        method: str = "POST",
        timeout: float = 30,
    ) -> list[dict[str, Any]]:
        """Run statements and return their ``results``. For the lab's own short queries.

        Raises:
            QueryRefused, NotAllowed, LoginRefused, PartDown.
        """
        params = {"q": influxql, "epoch": "ns", **({"db": database} if database else {})}
        # GET for readers: InfluxDB itself then refuses statements that change something
        if method == "GET":
            response = self._send("GET", "/query", params, headers, timeout=timeout)
        else:
            form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
            response = self._send("POST", "/query", {}, form, urlencode(params).encode(), timeout=timeout)
        if response.status != 200:
            raise _refusal(response)
        results: list[dict[str, Any]] = response.json().get("results", [])
        for result in results:
            if "error" in result:
                raise QueryRefused("query-refused", f"InfluxDB says: {result['error']}")
        return results

    def measurements(self, database: str, headers: Mapping[str, str]) -> tuple[Measurement, ...]:
        fields, tags = self.ask(database, "SHOW FIELD KEYS; SHOW TAG KEYS", headers, method="GET")
        tags_of = {s["name"]: tuple(row[0] for row in s["values"]) for s in tags.get("series", [])}
        return tuple(
            Measurement(
                measurement=s["name"],
                # a field that once had two types in two shards is listed twice
                fields=tuple(dict.fromkeys(row[0] for row in s["values"])),
                tags=tags_of.get(s["name"], ()),
            )
            for s in fields.get("series", [])
        )

    def metric_sums(self, name: str, label: str) -> dict[str, int] | None:
        """The sums of one of the server's metrics (Prometheus' text form) by a label; None when it does not show it."""
        response = self._send("GET", "/metrics", timeout=15)
        if response.status != 200:
            return None
        line = re.compile(rf'{re.escape(name)}{{(?:[^}}]*,)?{re.escape(label)}="([^"]*)"[^}}]*}} (\S+)')
        sums: Counter[str] = Counter()
        for found in filter(None, map(line.match, response.data.decode().splitlines())):
            sums[found[1]] += int(float(found[2]))
        return dict(sums) if sums else None

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes | None = None,
        *,
        timeout: float = _SECONDS,
        stream: bool = False,
    ) -> BaseHTTPResponse:
        try:
            return self._http.urlopen(
                method,
                f"{self._path}{path}?{urlencode(params)}" if params else self._path + path,
                headers={"Accept-Encoding": "identity", **headers},
                body=body,
                timeout=Timeout(connect=3, read=timeout),
                pool_timeout=int(_SECONDS),
                retries=False,
                redirect=False,
                preload_content=not stream,
            )
        except HTTPError as error:
            raise PartDown("database-down", DOWN) from error


def _give_back(response: BaseHTTPResponse) -> None:
    """The connection's place in the pool too: closing a response that is not read to its end does not do that."""
    response.close()
    response.release_conn()


def _resumed(first: bytes, rows: Generator[bytes, None, None]) -> Iterator[bytes]:
    """`rows` from the start, of which `first` was already taken. Closing this closes the connection."""
    try:
        if first:
            yield first
        yield from rows
    finally:
        rows.close()


def _refusal(response: BaseHTTPResponse) -> HubError | LoginRefused:
    words = _words(response)
    if response.status == 401:
        return LoginRefused(words)
    if "requires READ on" in words:
        return NotAllowed("database-not-shared", NOT_SHARED)
    if response.status in (400, 403, 404, 422):
        return QueryRefused("query-refused", f"InfluxDB says: {words}")
    return PartDown("database-down", f"{DOWN} (It said: {words})")


def _words(response: BaseHTTPResponse) -> str:
    """InfluxDB's own sentence: in a header, in JSON ``error`` (1.x) or ``message`` (2.x)."""
    if words := response.headers.get("X-Influxdb-Error"):
        return words
    try:
        content = response.json()
    except ValueError:
        return response.data.decode(errors="replace")[:300]
    return str(content.get("error") or content.get("message") or content)[:1000]


def ident(name: str) -> str:
    """A name quoted for InfluxQL."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """A text quoted for InfluxQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
