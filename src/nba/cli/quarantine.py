"""Verbs of what ingest refused."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from nba.cli.common import AsJson, Verbose, emit, wiring_of

quarantine_app = typer.Typer(help="Rows that ingest refused.", no_args_is_help=True)


@quarantine_app.command("list")
def quarantine_list(context: typer.Context, as_json: AsJson = False) -> None:
    """Print how many rows each rule refused, by table and column, and the first of them."""
    from nba.jobs.inspect import quarantine_counts

    wiring = wiring_of(context)
    counts = quarantine_counts(wiring)
    refused = wiring.plan_store.refused_rows()
    notes = [f"{refused:,} rows of the API were refused too: `nba outbox list`"] if refused else []
    emit(
        as_json,
        counts,
        lambda: [*([_line(row) for row in counts] or ["the quarantine is empty"]), *notes],
    )


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['rows']:>8,}  {row['table']}.{row['column'] or 'record'}: {row['rule']} "
        f"(expected {row['expected']}); first: {row['first_file']}, line {row['first_line']}, "
        f"{row['first_value']!r}"
    )


@quarantine_app.command("retry")
def quarantine_retry(
    context: typer.Context,
    mapping: Annotated[str, typer.Option(help="A corrected mapping's name or file.")] = "",
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Try the refused rows again; what is accepted now goes into the lake."""
    from nba.jobs.ingest import retry_quarantine

    report = retry_quarantine(wiring_of(context), mapping=mapping)
    emit(as_json, report.to_json(), lambda: report.lines(verbose=verbose))


@quarantine_app.command("show")
def quarantine_show(
    context: typer.Context,
    table: Annotated[str, typer.Option(help="Only this table.")] = "",
    rule: Annotated[str, typer.Option(help="Only this rule.")] = "",
    limit: Annotated[int, typer.Option(help="The most rows.")] = 20,
) -> None:
    """Print refused rows with file, line, column, rule and value."""
    from nba.data.quarantine import quarantined

    rows = quarantined(wiring_of(context).lake, table=table, rule=rule, limit=limit)
    if rows.is_empty():
        typer.echo("the quarantine has no such rows", err=True)
    for row in rows.iter_rows(named=True):
        typer.echo(json.dumps(row, default=str, ensure_ascii=False))
