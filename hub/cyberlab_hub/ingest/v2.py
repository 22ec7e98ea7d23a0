"""InfluxDB's own way in, ``POST /api/v2/write``: what its clients ask, and the answers that they understand.

Telegraf, `influxdb-client` and Arduino's library write here unchanged: their *token* is a lab token, their *bucket* the
token's owner. What a line may say is what it may say everywhere (`intake`).
"""

from __future__ import annotations

import math
import time

from cyberlab.wire import Written
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cyberlab_hub.errors import HubError, NotAllowed, NotSignedIn, OverQuota, PartDown
from cyberlab_hub.ingest.bodies import BadBody, TooLarge, read_unpacked
from cyberlab_hub.ingest.lines import Batch
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.ingest.times import UNITS, Times
from cyberlab_hub.ingest.tokens import Sender

PATH = "/api/v2/"
VERSION = "v2.0.0-cyberlab"
"""Clients ask for it before they write; the major number is the interface's."""
SHOWN = 5
"""Refused lines that an answer names."""
AGAIN_SECONDS = 5
_ANSWERS: dict[type[HubError], tuple[int, str]] = {
    BadBody: (400, "invalid"),
    NotSignedIn: (401, "unauthorized"),
    NotAllowed: (403, "forbidden"),
    TooLarge: (413, "request too large"),
    OverQuota: (429, "too many requests"),
    PartDown: (503, "unavailable"),
}


def token(request: Request) -> str:
    """Raises:
    NotSignedIn: ``token-missing``.
    """
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() not in ("token", "bearer") or not secret.strip():
        raise NotSignedIn("token-missing", "Send a token of the lab as `Authorization: Token ...`.")
    return secret.strip()


def device(request: Request, sender: Sender) -> str:
    """Whose points these are: the one device of the token, or the one that the header names.

    Raises:
        NotAllowed: ``device-not-said``.
    """
    said = request.headers.get("X-Cyberlab-Device", "")
    if said:
        return said
    if len(sender.devices) != 1:
        raise NotAllowed(
            "device-not-said",
            f"This token is for {len(sender.devices)} devices: say in the header X-Cyberlab-Device which one sends.",
        )
    return next(iter(sender.devices))


def check_target(request: Request, sender: Sender) -> None:
    """The bucket must be the owner's, in one of its names, and the organisation, if any, the lab or the owner.

    Raises:
        NotAllowed: ``bucket-not-yours``, ``org-unknown``. Whether such a bucket exists is not said.
    """
    own = sender.owner if sender.agent else database_of(sender.owner)
    asked = request.query_params.get("bucket", "")
    # 1.x's clients name a retention policy after a slash; the lab has one, which is the default
    bucket = asked.removesuffix("/autogen").removesuffix("/")
    if bucket not in (sender.owner, own):
        raise NotAllowed(
            "bucket-not-yours",
            f"This token writes to the bucket {sender.owner!r}, not to {asked[:64]!r}.",
        )
    org = request.query_params.get("org", "") or request.query_params.get("orgID", "")
    if org not in ("", "cyberlab", sender.owner):
        raise NotAllowed(
            "org-unknown", f"The organisation here is 'cyberlab' (or {sender.owner!r}), not {org[:64]!r}."
        )


async def batch(request: Request) -> Batch:
    """The lines, unpacked; a line without a time is of now.

    Raises:
        BadBody: ``precision-unknown``, ``points-missing``, and as `read_unpacked`. TooLarge.
    """
    unit = request.query_params.get("precision", "ns") or "ns"
    if unit not in UNITS:
        raise BadBody("precision-unknown", f"precision is one of {', '.join(UNITS)}, not {unit[:40]!r}.")
    came = await read_unpacked(request, Times(unit, time.time_ns()))
    if not came.body.strip():
        raise BadBody("points-missing", "writing requires points")
    return came


def answer(written: Written) -> Response:
    """204; or 400 when lines were refused, as InfluxDB says it: the others are kept."""
    if not written.refused:
        return Response(status_code=204)
    reasons = "; ".join(f"line {r.line}: {r.reason}" for r in written.refused[:SHOWN])
    more = len(written.refused) - SHOWN
    message = (
        f"partial write: {reasons}{f'; and {more} more' if more > 0 else ''} dropped={len(written.refused)}"
    )
    content = {"code": "invalid", "message": message, "line": written.refused[0].line}
    return JSONResponse(content, status_code=400)


def told(error: HubError) -> JSONResponse:
    """A refusal in InfluxDB's form, with the lab's own code beside it."""
    status, code = next(
        (said for kind, said in _ANSWERS.items() if isinstance(error, kind)), (500, "internal error")
    )
    message = error.message if status != 500 else "The gateway made a mistake."
    headers = {"Connection": "close"} if status == 413 else {}
    if isinstance(error, OverQuota) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    elif status in (429, 503):
        headers["Retry-After"] = str(AGAIN_SECONDS)
    content = {"code": code, "message": message, "err": error.code}
    return JSONResponse(content, status_code=status, headers={**headers, "X-Platform-Error-Code": code})


async def ping(_: Request) -> Response:
    """That something answers, as InfluxDB's clients ask it; no token is needed."""
    return Response(status_code=204, headers={"X-Influxdb-Version": VERSION, "X-Influxdb-Build": "cyberlab"})


def health(version: str, problem: str = "") -> dict[str, str]:
    """What such clients look for in the answer of ``/health``."""
    return {
        "name": "cyberlab ingest gateway",
        "status": "fail" if problem else "pass",
        "message": problem or "ready for writes",
        "version": version,
    }
