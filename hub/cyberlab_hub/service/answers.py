"""How an error becomes an answer: one body for all of them, and the only place that knows HTTP statuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from cyberlab.wire import ErrorBody, ErrorInfo, Problem
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cyberlab_hub import errors

STATUS: tuple[tuple[type[errors.HubError], HTTPStatus], ...] = (
    (errors.NotSignedIn, HTTPStatus.UNAUTHORIZED),
    (errors.NotAllowed, HTTPStatus.FORBIDDEN),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.Cancelled, HTTPStatus.CONFLICT),
    (errors.QueryRefused, HTTPStatus.BAD_REQUEST),
    (errors.SpecRefused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.WorkFailed, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.OverQuota, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.PartDown, HTTPStatus.SERVICE_UNAVAILABLE),
)
HEADERS = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
    # what is left of a body that is too long or too slow is not read: else it were taken, and thrown away, for ever
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {"Connection": "close"},
    HTTPStatus.REQUEST_TIMEOUT: {"Connection": "close"},
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "The request cannot be read at all",
        401: "No token, or one the hub does not know",
        403: "The token does not carry the right",
        404: "There is none, or it is not yours",
        408: "The request took too long to arrive",
        413: "The request is too long",
        422: "The request is refused; every problem with the path of its field",
        429: "A quota is used up",
        503: "A part of the lab does not answer",
    }.items()
}
"""What every call may answer; for the API's description."""

PROBLEMS = 200
"""At most so many are told."""

SAID = {
    "missing": "This field is needed.",
    "extra_forbidden": "There is no such field. Check its spelling.",
    "json_invalid": "This is not valid JSON.",
    "string_type": "Give a text here.",
    "int_parsing": "Give a whole number here.",
    "int_type": "Give a whole number here.",
    "int_from_float": "Give a whole number here.",
    "tuple_type": "Give a list here.",
    "dict_type": "Give names with values here.",
    "model_attributes_type": "Give an object with fields here.",
}
"""pydantic's codes in a student's words; others keep pydantic's own."""


def answer(status: int, info: ErrorInfo) -> JSONResponse:
    headers = HEADERS.get(HTTPStatus(status))
    return JSONResponse(ErrorBody(error=info).model_dump(mode="json"), status, headers)


def status_of(error: errors.HubError) -> HTTPStatus:
    return next((s for kind, s in STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def install(app: FastAPI) -> None:
    """Every error of a route leaves as an `ErrorBody`; what is not raised on purpose is the guard's."""
    app.add_exception_handler(errors.HubError, _hub_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)


def _noted(request: Request, status: int, info: ErrorInfo, noted: str = "") -> JSONResponse:
    # the audit reads it: codes only, never a user's own words
    codes = dict.fromkeys(problem.code for problem in info.problems)
    request.state.refusal = noted or " ".join([info.code, *list(codes)[:5]])
    return answer(status, info)


async def _hub_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, errors.HubError):
        raise TypeError from error
    status = status_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        raise error  # not meant for users: the guard logs it and answers with an incident number
    reply = _noted(request, status, error.info(), error.noted)
    if isinstance(error, errors.OverQuota) and error.retry_after is not None:
        reply.headers["Retry-After"] = str(math.ceil(error.retry_after))
    return reply


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError from error
    problems = tuple(
        Problem(
            path=field_path(found["loc"]),
            code=found["type"].replace("_", "-"),
            message=SAID.get(found["type"], found["msg"]),
        )
        for found in error.errors()[:PROBLEMS]
    )
    message = "The request does not have the right form: " + "; ".join(
        f"{problem.path or 'body'}: {problem.message}" for problem in problems[:3]
    )
    return _noted(request, 422, ErrorInfo(code="request-invalid", message=message, problems=problems))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError from error
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "-").replace("'", "")
    said = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not possible here."}
    return _noted(request, status, ErrorInfo(code=code, message=said.get(status, str(error.detail))))


def field_path(location: Sequence[int | str]) -> str:
    """``("body", "spec", "files", 0, "path")`` -> ``files[0].path``: as the rules of specs name fields."""
    parts = list(location)
    if parts[:1] and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    if parts[:1] == ["spec"] and len(parts) > 1:
        parts = parts[1:]
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
