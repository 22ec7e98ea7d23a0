"""One request to the engine, read so that dockerd cannot read it otherwise.

Go and Python disagree about what is odd: escaped paths, doubled slashes, doubled or wrongly cased JSON keys, forms
that override the query. So whatever is odd is refused here, before any rule looks at it:

- the path consists of plain characters, as the lab itself writes it; nothing escaped, doubled, relative or trailing
- parameters and JSON keys occur once (Go takes ``hostconfig`` for ``HostConfig``: `shapes` knows one way to write each)
- a POST carries JSON that dockerd forwarded (``{}`` when there is nothing to say): then dockerd cannot have read it as
  a form. dockerd forwards no body of 1 MB or more and none of another type (CVE-2024-41110 is of this kind)
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

LONGEST_URI = 8192
_VERSION = re.compile(r"/v1\.(4[1-9]|5[0-9])(?=/)", re.ASCII)
_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.:@-]*)+", re.ASCII)
_QUERY = re.compile(r"[A-Za-z0-9%&=+._~:/@,!*'()\[\]{}\"-]*", re.ASCII)
_ESCAPES = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.ASCII)
NO_VERSION = ("/_ping", "/version")
"""Paths that clients ask before they know the version to use."""


class Refused(Exception):
    """Why; the rest of a sentence that begins with the role."""


@dataclass(frozen=True)
class Asked:
    role: str
    """Common name of the client's certificate; empty without one."""
    method: str
    path: str
    """Without the version."""
    params: Mapping[str, str]
    body: Any
    """The JSON that was sent; None when dockerd forwarded none."""
    content_type: str


def read(message: Mapping[str, Any]) -> Asked:
    """What dockerd says about a request. Raises Refused when it could be read in two ways."""
    role = str(message.get("User", "")) if message.get("UserAuthNMethod") == "TLS" else ""
    path, params = _uri(str(message.get("RequestUri", "")))
    headers = {str(k).lower(): str(v) for k, v in (message.get("RequestHeaders") or {}).items()}
    return Asked(
        role=role,
        method=str(message.get("RequestMethod", "")),
        path=path,
        params=params,
        body=_body(message.get("RequestBody") or ""),
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
    )


def _uri(uri: str) -> tuple[str, dict[str, str]]:
    path, mark, query = uri.partition("?")
    if len(uri) > LONGEST_URI:
        raise Refused("may not send an address of this length")
    if not _PATH.fullmatch(path):
        raise Refused("may not use a path that is written in an odd way")
    version = _VERSION.match(path)
    plain = path[version.end() :] if version else path
    if version is None and plain not in NO_VERSION:
        raise Refused("may not use this version of the API")
    return plain, _params(query) if mark else {}


def _params(query: str) -> dict[str, str]:
    if not query:
        return {}
    if not (_QUERY.fullmatch(query) and _ESCAPES.fullmatch(query)):
        raise Refused("may not use parameters that are written in an odd way")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=40
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise Refused("may not use parameters that are written in an odd way") from error
    params = dict(pairs)
    if len(params) != len(pairs):
        raise Refused("may not give a parameter twice")
    return params


def _body(encoded: str) -> Any:
    if not encoded:
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused("may not send a body that is no text") from error
    return parse(text) if text.strip() else None


def parse(text: str) -> Any:
    """JSON, strictly. Raises Refused for keys that occur twice and for anything but JSON."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise Refused("may not send what is no plain JSON") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Refused("may not send a JSON key twice")
    return table


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
