"""Errors as RFC 9457 problem details; the only place that maps errors to HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from nba.errors import (
    ChangedError,
    ConflictError,
    InputRefusedError,
    LockHeldError,
    ModelError,
    NbaError,
    NotFoundError,
    NotPermittedError,
    UnavailableError,
    UsageError,
)
from nba.logs import log

MEDIA_TYPE = "application/problem+json"


class NotAuthenticatedError(NotPermittedError):
    """The caller is not known."""


class TooManyWrongKeysError(NotAuthenticatedError):
    """One address has sent wrong keys time and again.

    Parameters
    ----------
    seconds : int
        After so many it may try again.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(
            "too many wrong keys from this address",
            expected="a valid API key",
            found="a key that is unknown, expired or revoked",
            next_step=f"check the key, and try again in {seconds} seconds",
        )


class TooManyRequestsError(NbaError):
    """A key or an address makes more requests than it may.

    Parameters
    ----------
    seconds : int
        After so many it may go on.
    whose : str
        `key` or `address`.
    limit : str
        What is allowed.
    """

    def __init__(self, seconds: int, whose: str, limit: str) -> None:
        self.seconds = seconds
        super().__init__(
            f"too many requests of this {whose}",
            expected=f"at most {limit}",
            next_step=f"go on in {seconds} seconds",
        )


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="Where it stands, for example `body.feedback.0.kind`.")
    rule: str
    found: str | None = None


class Problem(BaseModel):
    """RFC 9457 problem details, with what to do next."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable word for programs; `title` and `detail` may change.")
    expected: str | None = None
    found: str | None = None
    next_step: str | None = None
    errors: list[FieldProblem] = Field(default_factory=list)


#: First match wins: more special errors stand before what they derive from.
STATUS_OF: tuple[tuple[type[NbaError], HTTPStatus, str], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND, "not_found"),
    (ChangedError, HTTPStatus.PRECONDITION_FAILED, "changed"),
    (ConflictError, HTTPStatus.CONFLICT, "conflict"),
    (TooManyRequestsError, HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests"),
    (TooManyWrongKeysError, HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests"),
    (NotAuthenticatedError, HTTPStatus.UNAUTHORIZED, "not_authenticated"),
    (NotPermittedError, HTTPStatus.FORBIDDEN, "not_permitted"),
    (UsageError, HTTPStatus.BAD_REQUEST, "bad_request"),
    (InputRefusedError, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request"),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    (LockHeldError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    (ModelError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    (NbaError, HTTPStatus.INTERNAL_SERVER_ERROR, "internal"),
)


def problem_of(error: NbaError) -> Problem:
    """Return the problem that describes an error of the project; every answer can carry it."""
    for kind, status, code in STATUS_OF:
        if isinstance(error, kind):
            return Problem(
                type=_type(code),
                title=status.phrase,
                status=status,
                detail=_printable(error.what),
                code=code,
                expected=_printable(error.expected) or None,
                found=_printable(error.found) or None,
                next_step=_printable(error.next_step) or None,
            )
    raise AssertionError("every NbaError has a status")


def _printable(text: str) -> str:
    """Return a text that can be encoded: halves of characters are named by their code."""
    return text.encode(errors="backslashreplace").decode()


def respond(problem: Problem) -> JSONResponse:
    """Return a problem as a response."""
    headers = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for problems with these statuses.

    Where a key is asked for, wrong ones can become too many.
    """
    if HTTPStatus.UNAUTHORIZED in statuses:
        statuses = (*statuses, HTTPStatus.TOO_MANY_REQUESTS)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(NbaError, _on_nba_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_fault)


def _on_nba_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NbaError)
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log().error("request failed", error=type(error).__name__, detail=str(error))
        problem = problem.model_copy(update={"expected": None, "found": None})
    response = respond(_without_places(problem, request.app.state.services.places))
    if isinstance(error, TooManyWrongKeysError | TooManyRequestsError):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def _without_places(problem: Problem, places: Sequence[str]) -> Problem:
    """Leave out where on the server the project stands."""
    texts = problem.model_dump(include={"detail", "expected", "found", "next_step"})
    for place in places:
        texts = {name: text and text.replace(place, "") for name, text in texts.items()}
    return problem.model_copy(update=texts)


def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return respond(invalid(error.errors()))


def invalid(errors: Sequence[Any]) -> Problem:
    """Return the problem of an input that breaks its shape, from what pydantic says of it."""
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    fields = [
        FieldProblem(
            field=_printable(".".join(map(str, item["loc"]))),
            rule=_printable(item["msg"]),
            found=_shown(item["input"]),
        )
        for item in errors
    ]
    return Problem(
        type=_type("invalid_request"),
        title=status.phrase,
        status=status,
        detail="; ".join(f"{field.field}: {field.rule}" for field in fields[:3]),
        code="invalid_request",
        next_step="correct the fields under `errors`; the schema is at /openapi.json",
        errors=fields,
    )


def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_")
    response = respond(
        Problem(type=_type(code), title=status.phrase, status=status, detail=detail, code=code)
    )
    response.headers.update(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _allowed(request)):
        response.headers["Allow"] = ", ".join(allowed)
    return response


def _allowed(request: Request) -> list[str]:
    """Return the methods that a path of the API takes: of all its routes, not of the first."""
    routes: Sequence[APIRoute] = request.app.state.routes
    there = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    methods = {method for route in there for method in route.methods or ()}
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


def _on_fault(request: Request, error: Exception) -> JSONResponse:
    """Answer a fault of our own without its details: they belong in the log."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return respond(
        Problem(
            type=_type("internal"),
            title=status.phrase,
            status=status,
            detail="the service failed on this request",
            code="internal",
            next_step="try again; if it lasts, see the service's log",
        )
    )


def _type(code: str) -> str:
    return f"urn:nba:problem:{code.replace('_', '-')}"


def _shown(value: object) -> str:
    text = _printable(str(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
