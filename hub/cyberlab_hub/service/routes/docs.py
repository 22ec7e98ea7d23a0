"""The API's description as one page, drawn from the OpenAPI document. No script, nothing fetched from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em }
details { border: 1px solid #8886; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer; overflow-wrap: anywhere }
summary b { display: inline-block; min-width: 4.5rem }
table { border-collapse: collapse } td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top }
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-cache",
}


@router.get("/docs", response_class=HTMLResponse)
def read_docs(request: Request) -> HTMLResponse:
    return HTMLResponse(page(request.app.openapi()), headers=HEADERS)


def page(document: dict[str, Any]) -> str:
    """The whole page, from an OpenAPI document."""
    info = document["info"]
    calls = [
        (operation["tags"][0], method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style><main>",
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>",
        *(f"<p>{_prose(text)}</p>" for text in info["description"].strip().split("\n\n")),
        "<p>The same for machines: <a href=openapi.json>openapi.json</a></p>",
    ]
    for tag in dict.fromkeys(call[0] for call in calls):
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_call(method, path, operation) for of, method, path, operation in calls if of == tag]
    parts.append("<h2>Models</h2>")
    parts += [_model(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join(parts) + "</main></html>\n"


def _call(method: str, path: str, operation: dict[str, Any]) -> str:
    told = operation.get("description", "") or operation.get("summary", "")
    rows = [
        (f"{p['name']} ({p['in']})", _kind(p["schema"]), p.get("description", ""))
        for p in operation.get("parameters", [])
    ]
    body = operation.get("requestBody", {}).get("content", {})
    rows += [("body", f"{media}: {_kind(content['schema'])}", "") for media, content in body.items()]
    rows += [
        (status, _answer(answer), answer["description"]) for status, answer in operation["responses"].items()
    ]
    return (
        f"<details><summary><b>{method}</b> <code>{escape(path)}</code></summary>"
        f"<p>{_prose(told)}</p>{_table(rows)}</details>"
    )


def _prose(text: str) -> str:
    """The two marks that docstrings here use: code and emphasis."""
    text = re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text))
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def _answer(answer: dict[str, Any]) -> str:
    return ", ".join(_kind(c.get("schema", {})) or media for media, c in answer.get("content", {}).items())


def _model(name: str, schema: dict[str, Any]) -> str:
    rows = [(f, _kind(s), s.get("description", "")) for f, s in schema.get("properties", {}).items()]
    values = ", ".join(map(str, schema.get("enum", ())))
    told = schema.get("description", "")
    return (
        f"<details><summary><code>{escape(name)}</code></summary>"
        f"<p>{_prose(told)}</p><p>{escape(values)}</p>{_table(rows)}</details>"
    )


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {})) or 'anything'}"
    if "const" in schema or "enum" in schema:
        return ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    return str(schema.get("type", ""))


def _table(rows: list[tuple[str, str, str]]) -> str:
    def lines() -> Iterator[str]:
        for name, kind, told in rows:
            yield f"<tr><td><code>{escape(name)}</code><td>{escape(kind)}<td>{_prose(told)}"

    return f"<table>{''.join(lines())}</table>" if rows else ""
