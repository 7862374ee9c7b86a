"""Verbs of what the API accepted and the lake does not hold yet."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from nba.cli.common import AsJson, emit, wiring_of
from nba.errors import UsageError

outbox_app = typer.Typer(
    help="Rows that the API accepted and the lake does not hold.", no_args_is_help=True
)
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of rows, as `nba outbox show` says.")]
All = Annotated[bool, typer.Option("--all", help="Every refused row.")]


@outbox_app.command("list")
def outbox_list(context: typer.Context, as_json: AsJson = False) -> None:
    """Print how many rows wait or were refused, by table and reason, and the first of each."""
    from nba.jobs.outbox import counted, open_rows

    groups = counted(open_rows(wiring_of(context)))
    emit(as_json, groups, lambda: [_line(row) for row in groups] or ["nothing waits"])


def _line(row: dict[str, Any]) -> str:
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['rows']:>8,}  {row['state']} {row['table']}{why}; first: {row['first']}"


@outbox_app.command("show")
def outbox_show(
    context: typer.Context,
    ids: Ids = None,
    limit: Annotated[int, typer.Option(help="The most rows.")] = 20,
) -> None:
    """Print rows as they were accepted, with the reason of those that the lake refused."""
    from nba.jobs.outbox import open_rows

    _print(open_rows(wiring_of(context), ids or [])[:limit])


@outbox_app.command("drop")
def outbox_drop(context: typer.Context, ids: Ids = None, every: All = False) -> None:
    """Remove rows for good and print them; their ids may be sent again."""
    from nba.jobs.outbox import drop_rows

    wiring = wiring_of(context)
    _print(drop_rows(wiring, _named(wiring, ids, every)))


@outbox_app.command("retry")
def outbox_retry(
    context: typer.Context, ids: Ids = None, every: All = False, as_json: AsJson = False
) -> None:
    """Bring refused rows into the lake again, and what else waits."""
    from nba.jobs.outbox import retry_rows

    wiring = wiring_of(context)
    report = retry_rows(wiring, _named(wiring, ids, every))
    emit(as_json, report, lambda: [", ".join(f"{name} {n}" for name, n in report.items())])


def _named(wiring: Any, ids: list[str] | None, every: bool) -> list[str]:
    """Return the ids that a call names."""
    if bool(ids) == every:
        raise UsageError("name rows, or --all", expected="ids, or --all for every refused row")
    from nba.jobs.outbox import open_rows

    rows = open_rows(wiring, ids or [])
    return [row["outbox_id"] for row in rows if ids or row["state"] == "refused"]


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        typer.echo(json.dumps(row, default=str, ensure_ascii=False))
