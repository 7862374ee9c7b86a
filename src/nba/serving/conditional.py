"""Answers that a client holds already: entity tags and 304."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response

#: OpenAPI's words for an answer that did not change.
NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "Not Modified: what the `If-None-Match` names still stands."}
}


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client holds the answer with this entity tag, compared weakly."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    plain = tag.removeprefix("W/")
    return given.strip() == "*" or any(
        one.strip().removeprefix("W/") == plain for one in given.split(",")
    )


def unchanged(tag: str) -> Response:
    """Return the answer that says so."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
