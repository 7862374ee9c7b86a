"""The verb that reports what contacting earned."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from nba.cli.common import AsJson, emit, moment, wiring_of

verbs = typer.Typer()


@verbs.command()
def report(
    context: typer.Context,
    first: Annotated[
        str, typer.Option("--from", help="The first day, YYYY-MM-DD (default: of the first plan).")
    ] = "",
    last: Annotated[
        str, typer.Option("--to", help="The last day, YYYY-MM-DD (default: of the last plan).")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="The folder to write (default: in the data folder).")
    ] = None,
    locale: Annotated[str, typer.Option(help="Language on the terminal: zh or en.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Report what contacting earned over leaving alone, as a page, tables and an MLflow run."""
    from nba.jobs.impact.run import write_impact_report
    from nba.schema.languages import language_of

    wiring = wiring_of(context)

    def day(option: str, text: str) -> date | None:
        return moment(wiring, text, option=option).date() if text else None

    written = write_impact_report(wiring, day("--from", first), day("--to", last), out=out)
    emit(
        as_json,
        {"folder": str(written.folder), "run_id": written.run_id, **written.report.figures()},
        lambda: written.lines(language_of(locale, "en"), wiring.settings.currency),
    )
