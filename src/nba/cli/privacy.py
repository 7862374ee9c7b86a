"""The verbs that erase a customer, search for what is left of one, and say who saw them."""

from __future__ import annotations

from typing import Annotated

import typer

from nba.cli.common import AsJson, emit, wiring_of

verbs = typer.Typer()


@verbs.command()
def erase(
    context: typer.Context,
    customer: Annotated[str, typer.Argument(help="The customer's id, as the tables have it.")],
    by: Annotated[str, typer.Option("--by", help="Who asked for it, for the receipt.")] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Erase nothing; search everything that is kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a customer from everything that is kept, and keep them out."""
    from nba.jobs.privacy import erase_customer, receipt_lines, search, search_lines

    wiring = wiring_of(context)
    if verify:
        remainders = search(wiring, customer)
        emit(as_json, remainders.to_json(), lambda: search_lines(remainders))
        raise typer.Exit(1 if remainders.kept else 0)
    receipt = erase_customer(wiring, customer, by=by)
    report = {
        name: getattr(receipt, name)
        for name in ("receipt_id", "erased_at", "completed_at", "requested_by", "counts")
    }
    emit(as_json, report, lambda: receipt_lines(receipt))


@verbs.command()
def audit(
    context: typer.Context,
    customer: Annotated[str, typer.Option(help="The customer's id, as the tables have it.")],
    since: Annotated[str, typer.Option(help="From this day on, as 2026-03-01.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say who saw or changed a customer over the API, and when."""
    from nba.jobs.privacy import call_lines, calls_about

    calls = calls_about(wiring_of(context), customer, since)
    emit(as_json, calls, lambda: call_lines(calls))
