"""The clerk page's files, with the headers that keep it to itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

#: Scripts, styles and calls of this origin alone; pictures of products from the shop's servers.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' https: data:; worker-src 'self'; base-uri 'none'; form-action 'none'"
)


class PageFiles(StaticFiles):
    """Static files under a strict content security policy.

    Parameters
    ----------
    directory : Path
    frame_ancestors : sequence of str
        Hosts that may show the page in a frame; nobody where it is empty.
    """

    def __init__(self, directory: Path, frame_ancestors: Sequence[str]) -> None:
        super().__init__(directory=directory, html=True)
        allowed = " ".join(frame_ancestors) or "'none'"
        self._headers = {
            "Content-Security-Policy": f"{_POLICY}; frame-ancestors {allowed}",
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file's response with the page's headers."""
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        return response
