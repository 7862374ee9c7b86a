"""Routes matched on the path as it was sent, so that an id may hold any character."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope


class RawPathRoute(APIRoute):
    """A route that takes an encoded slash for part of an id.

    Servers decode a path before it is matched, so that `WX%2F0001` would become two parts.
    Here it is matched as it was sent, and its parameters are decoded one by one.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request."""
        raw: bytes = scope.get("raw_path") or b""
        if scope["type"] != "http" or b"%" not in raw:
            return super().matches(scope)
        match, found = super().matches({**scope, "path": raw.decode("latin-1")})
        parameters: dict[str, Any] = found.get("path_params", {})
        if parameters:
            found["path_params"] = {name: unquote(value) for name, value in parameters.items()}
        return match, found
