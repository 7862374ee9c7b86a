"""Cursors: where a page ended, in a text that means nothing to the client."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated

from pydantic import Field, TypeAdapter

from nba.errors import ConflictError, UsageError
from nba.serving.schemas import Id

_DIGEST = 12
#: What a cursor holds: the plan's digest, whose list, and the rank and id of the last action seen.
_PLACE: TypeAdapter[tuple[str, str, int, str]] = TypeAdapter(
    tuple[str, str, Annotated[int, Field(strict=True, ge=0, lt=2**31)], Id]
)


def write_cursor(plan_digest: str, clerk_id: str, rank: int, action_id: str) -> str:
    """Return the cursor that continues after an action of a clerk's list.

    Parameters
    ----------
    plan_digest : str
    clerk_id : str
        Whose list it is.
    rank : int
    action_id : str

    Examples
    --------
    >>> read_cursor(write_cursor("ab" * 32, "k1", 3, "a1"), "ab" * 32, "k1")
    (3, 'a1')
    """
    content = json.dumps([plan_digest[:_DIGEST], _whose(clerk_id), rank, action_id])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _whose(clerk_id: str) -> str:
    """Return what stands for a clerk: ids are long at times, a cursor is not."""
    return hashlib.sha256(clerk_id.encode()).hexdigest()[:_DIGEST]


def read_cursor(cursor: str, plan_digest: str, clerk_id: str) -> tuple[int, str]:
    """Return the rank and id after which to continue.

    Raises
    ------
    UsageError
        When the text is no cursor, or one of another clerk's list.
    ConflictError
        When the plan was replaced since: its ranks are others now.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(padded, b"-_", validate=True))
        digest, whose, rank, action_id = _PLACE.validate_python(content)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise UsageError(
            "this is not a cursor of this service",
            expected="`next_cursor` of the page before",
            found=ascii(cursor[:80]),
            next_step="leave the cursor away to begin at the first page",
        ) from error
    if whose != _whose(clerk_id):
        raise UsageError(
            "this is a cursor of another list",
            expected=f"`next_cursor` of the list of the clerk {clerk_id!r}",
            found="that of another clerk's list",
            next_step="leave the cursor away to begin at the first page",
        )
    if digest != plan_digest[:_DIGEST]:
        raise ConflictError(
            "the plan was replaced since the last page",
            expected="a cursor of the current plan",
            found="a cursor of an earlier one",
            next_step="leave the cursor away to begin at the first page",
        )
    return rank, action_id


def write_version(plan_digest: str, number: int) -> str:
    """Return the version of a list as a text that means nothing to the client.

    >>> read_version(write_version("ab" * 32, 3), "ab" * 32)
    3
    """
    return f"{plan_digest[:_DIGEST]}-{number}"


def read_version(version: str, plan_digest: str) -> int:
    """Return the number of a version of a list of a plan.

    Raises
    ------
    UsageError
        When the text is no version.
    ConflictError
        When the plan was replaced since.
    """
    digest, _, number = version.rpartition("-")
    if len(digest) != _DIGEST or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise UsageError(
            "this is not a version of a list",
            expected="`version` of a list or of its changes",
            found=ascii(version[:80]),
            next_step="read the list, and give back its `version`",
        )
    if digest != plan_digest[:_DIGEST]:
        raise ConflictError(
            "the plan was replaced since that version",
            expected="a version of the current plan's list",
            found="one of an earlier plan",
            next_step="read the list again",
        )
    return int(number)
