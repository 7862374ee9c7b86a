"""Answers that a client holds already: entity tags and 304."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request, Response

from nba.errors import ChangedError
from nba.serving.errors import documented
from nba.stores.database import digest

#: OpenAPI's words for an answer that did not change.
NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "Not Modified: what the `If-None-Match` names still stands."}
}


#: OpenAPI's words for a change that the caller's precondition forbids.
CHANGED: Final = documented(HTTPStatus.PRECONDITION_FAILED)


@dataclass(frozen=True)
class Precondition:
    """What a caller expects of what it is about to change.

    Parameters
    ----------
    if_match : str or None
        Entity tags, one of which must stand; `*`: anything must.
    if_none_match : str or None
        Entity tags, none of which may stand; `*`: nothing may.
    """

    if_match: str | None
    if_none_match: str | None

    @property
    def is_given(self) -> bool:
        """Whether the caller expects anything."""
        return self.if_match is not None or self.if_none_match is not None

    def require(self, standing: str | None) -> None:
        """Refuse to go on where what stands, by its entity tag, is not what the caller expects.

        Raises
        ------
        ChangedError
        """
        wanted, unwanted = self.if_match, self.if_none_match
        if wanted is not None and not (standing and _names(wanted, standing)):
            raise _changed(f"If-Match: {wanted}", standing)
        if unwanted is not None and standing and _names(unwanted, standing):
            raise _changed(f"If-None-Match: {unwanted}", standing)


def precondition(
    if_match: Annotated[
        str | None,
        Header(max_length=500, description="Only if what stands has this `ETag`; `*`: any."),
    ] = None,
    if_none_match: Annotated[
        str | None, Header(max_length=500, description="`*`: only if nothing stands yet.")
    ] = None,
) -> Precondition:
    """Return what the headers of a request expect."""
    return Precondition(if_match, if_none_match)


PreconditionDep = Annotated[Precondition, Depends(precondition)]


def entity_tag(content: object) -> str:
    """Return the strong entity tag of what is shown."""
    return f'"{digest(content)[:24]}"'


def _names(given: str, tag: str) -> bool:
    return given.strip() == "*" or tag in {one.strip() for one in given.split(",")}


def _changed(expected: str, standing: str | None) -> ChangedError:
    return ChangedError(
        "what was to be changed is not as the caller knew it",
        expected=expected,
        found=f"ETag {standing}" if standing else "nothing that stands",
        next_step="read it again, and decide on what stands now",
    )


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
