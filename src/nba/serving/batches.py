"""What batches share: an idempotency key for the whole request, and counting rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel

from nba.serving.auth import Caller
from nba.serving.schemas import BatchResult, Id, RowResult
from nba.serving.services import Services
from nba.stores.database import digest
from nba.stores.operational import Writer

IdempotencyKey = Annotated[
    Id | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body gives the same answer and changes nothing.",
    ),
]


def meter(request: Request) -> Callable[[str, str], None]:
    """Return what counts a row by table and outcome."""
    rows = request.app.state.metrics.rows

    def count(table: str, outcome: str) -> None:
        rows.labels(table, outcome).inc()

    return count


#: Counts a row by table and outcome.
Metered = Annotated[Callable[[str, str], None], Depends(meter)]


def once(
    services: Services,
    caller: Caller,
    key: str | None,
    body: BaseModel,
    take: Callable[[Writer], BatchResult],
) -> BatchResult:
    """Run `take` in one transaction; with a key, at most once for the same body.

    Parameters
    ----------
    services : Services
    caller : Caller
        Keys of two callers are not compared.
    key : str, optional
        The idempotency key, if the caller sent one.
    body : BaseModel
        The request, compared by its digest.
    take : callable
        Does the work, and returns what to answer.

    Raises
    ------
    ConflictError
        When the key was used with another body.
    """
    if key is None:
        return services.store.write(take)
    content = digest(body.model_dump())

    def take_once(writer: Writer) -> BatchResult:
        known = writer.replay(caller.name, key, content)
        if known is not None:
            return BatchResult.model_validate(known)
        result = take(writer)
        writer.remember(caller.name, key, content, result.model_dump(mode="json"))
        return result

    return services.store.write(take_once)


def summed(rows: list[RowResult]) -> BatchResult:
    """Return the result of a batch from the results of its rows."""
    counts = {
        status: sum(row.status == status for row in rows)
        for status in ("accepted", "repeated", "refused")
    }
    return BatchResult(**counts, rows=rows)
