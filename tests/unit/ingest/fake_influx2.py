"""The few calls of InfluxDB 2.x's documented API that the store uses, over HTTP, with its rules of who may read."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ORG, ORG_ID = "school", "0" * 15 + "1"
OPERATOR = "operator-token"


@dataclass
class State:
    buckets: dict[str, str] = field(default_factory=dict)
    """Id by name."""
    dbrps: list[dict[str, Any]] = field(default_factory=list)
    authorizations: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    """By bucket name."""
    refuse_types: bool = False
    flux: list[dict[str, Any]] = field(default_factory=list)
    """Queries in Flux that were asked."""
    metrics: str = ""
    """What ``/metrics`` shows; empty: it does not."""
    number: int = 0

    def new_id(self) -> str:
        self.number += 1
        return f"{self.number + 256:016x}"

    def readable(self, token: str) -> set[str] | None:
        """Bucket ids the token may read; None when nobody has it."""
        if token == OPERATOR:
            return set(self.buckets.values())
        for one in self.authorizations.values():
            if one["token"] == token:
                return {p["resource"]["id"] for p in one["permissions"] if p["action"] == "read"}
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def answer(
        self, status: int, content: object = None, kind: str = "application/json", **headers: str
    ) -> None:
        body = (
            b""
            if content is None
            else content
            if isinstance(content, bytes)
            else json.dumps(content).encode()
        )
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, {"code": code, "message": message})

    def route(self) -> None:
        parts = urlsplit(self.path)
        asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if parts.path == "/ping":
            self.answer(204, X_Influxdb_Version="v2.7.11")
            return
        if parts.path == "/metrics":
            self.answer(200 if self.state.metrics else 404, self.state.metrics.encode(), "text/plain")
            return
        token = self.headers.get("Authorization", "").removeprefix("Token ")
        readable = self.state.readable(token)
        if readable is None:
            self.refuse(401, "unauthorized", "unauthorized access")
        elif parts.path == "/query":
            self.query(asked, readable)
        elif token != OPERATOR:
            self.refuse(403, "forbidden", "insufficient permissions")
        else:
            self.administer(f"{self.command} {parts.path}", asked, body)

    do_GET = do_POST = do_DELETE = route  # noqa: N815 - names that http.server calls

    def administer(self, call: str, asked: dict[str, str], body: bytes) -> None:
        state = self.state
        if call == "GET /api/v2/buckets":
            names = [asked["name"]] if "name" in asked else list(state.buckets)
            found = [self.bucket(name) for name in names if name in state.buckets]
            self.answer(200, {"buckets": found, "links": {"self": "/api/v2/buckets"}})
        elif call.startswith("GET /api/v2/buckets/"):
            (name,) = (n for n, i in state.buckets.items() if i == call.rpartition("/")[2])
            self.answer(200, self.bucket(name))
        elif call == "GET /api/v2/orgs":
            self.answer(200, {"orgs": [{"id": ORG_ID, "name": ORG}]})
        elif call == "POST /api/v2/buckets":
            name = json.loads(body)["name"]
            state.buckets[name] = state.new_id()
            state.lines[name] = []
            self.answer(201, self.bucket(name))
        elif call == "GET /api/v2/dbrps":
            content = [
                d for d in state.dbrps if d["database"] == asked["db"] and d["bucketID"] == asked["bucketID"]
            ]
            self.answer(200, {"content": content})
        elif call == "POST /api/v2/dbrps":
            state.dbrps.append({"orgID": ORG_ID, **json.loads(body), "id": state.new_id()})
            self.answer(201, state.dbrps[-1])
        elif call == "GET /api/v2/authorizations":
            # 2.9 keeps hashes only: the text of a token is never shown again
            self.answer(
                200, {"authorizations": [{**a, "token": "redacted"} for a in state.authorizations.values()]}
            )
        elif call == "POST /api/v2/authorizations":
            made = {
                **json.loads(body),
                "id": state.new_id(),
                "token": f"token-{state.number}",
                "status": "active",
            }
            state.authorizations[made["id"]] = made
            self.answer(201, made)
        elif call.startswith("DELETE /api/v2/buckets/"):
            (name,) = (n for n, i in state.buckets.items() if i == call.rpartition("/")[2])
            del state.buckets[name], state.lines[name]
            self.answer(204)
        elif call.startswith("DELETE /api/v2/dbrps/"):
            state.dbrps = [d for d in state.dbrps if d["id"] != call.rpartition("/")[2]]
            self.answer(204)
        elif call.startswith("DELETE /api/v2/authorizations/"):
            del state.authorizations[call.rpartition("/")[2]]
            self.answer(204)
        elif call == "POST /api/v2/query":
            state.flux.append(json.loads(body))
            self.answer(200, b"", "application/csv")
        elif call == "POST /api/v2/write":
            self.write(asked, body)
        else:
            self.refuse(404, "not found", f"path not found: {call}")

    def bucket(self, name: str) -> dict[str, Any]:
        return {"id": self.state.buckets[name], "orgID": ORG_ID, "name": name, "retentionRules": []}

    def write(self, asked: dict[str, str], body: bytes) -> None:
        assert (asked["org"], asked["precision"]) == (ORG, "ns")
        name = asked["bucket"]
        if name not in self.state.buckets:
            self.refuse(404, "not found", f'bucket "{name}" not found')
            return
        lines = body.decode().split("\n")
        bad = [line for line in lines if 'value="' in line]
        self.state.lines[name] += [line for line in lines if line not in bad]
        if bad:
            words = (
                'failure writing points to database: partial write: field type conflict: input field "value" on '
                f'measurement "t" is type string, already exists as type float dropped={len(bad)}'
            )
            self.refuse(422, "unprocessable entity", words)
        else:
            self.answer(204)

    def query(self, asked: dict[str, str], readable: set[str]) -> None:
        database = asked["db"]
        mapped = [d for d in self.state.dbrps if d["database"] == database and d["bucketID"] in readable]
        if not mapped:
            words = f"database not found: {database}"
            self.answer(
                200, {"results": [{"statement_id": 0, "error": words}]} if "csv" not in self.accept else b""
            )
            return
        if "SHOW FIELD KEYS" in asked["q"]:
            self.answer(
                200,
                {
                    "results": [
                        {
                            "series": [
                                {
                                    "name": "t",
                                    "columns": ["fieldKey", "fieldType"],
                                    "values": [["value", "float"]],
                                }
                            ]
                        },
                        {"series": [{"name": "t", "columns": ["tagKey"], "values": [["device"]]}]},
                    ][: asked["q"].count("SHOW")]
                },
            )
            return
        rows = [re.fullmatch(r"(\w+)\S* value=(\S+) (\d+)", line) for line in self.state.lines[database]]
        text = "name,tags,time,value\n" + "".join(f"{m[1]},,{m[3]},{m[2]}\n" for m in rows if m)
        end = "\nname,tags,name,duration,shardGroupDuration,replicaN,default\n,,autogen,0s,168h0m0s,1,true\n"
        self.answer(200, (text + end).encode(), "application/csv")

    @property
    def accept(self) -> str:
        return self.headers.get("Accept", "")


@contextmanager
def influx2() -> Iterator[tuple[str, State]]:
    """The address of a fake of its own, and what it holds."""
    state = State()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
