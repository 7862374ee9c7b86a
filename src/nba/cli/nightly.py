"""Verbs of the nightly job."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from nba.cli.common import AsJson, AsOf, Force, moment, wiring_of
from nba.jobs.progress import shown

verbs = typer.Typer()


@verbs.command()
def run(
    context: typer.Context,
    as_of: AsOf = "",
    force: Force = False,
    from_step: Annotated[str, typer.Option("--from", help="Redo from this step on.")] = "",
    backfill: Annotated[str, typer.Option(help="FIRST..LAST: one run per day.")] = "",
    as_json: AsJson = False,
) -> None:
    """Walk the nightly job: ingest, features, train (when due), score, plan, publish."""
    from nba.connect.courier import told
    from nba.jobs.nightly import days_between, run_nightly

    wiring = wiring_of(context)
    days = days_between(backfill) if backfill else [moment(wiring, as_of)]
    progress = shown()
    with told(wiring):
        for day in days:
            progress(f"nba run --as-of {day.date()}")
            manifest = run_nightly(
                wiring, day, progress=progress, force=force, from_step=from_step or None
            )
            if as_json:
                report = {"inputs": manifest.inputs, "steps": manifest.steps}
                typer.echo(json.dumps(report, indent=1))


def _step_verb(name: str, text: str) -> None:
    """Add a verb that walks the nightly job up to one step."""

    @verbs.command(name, help=text)
    def verb(context: typer.Context, as_of: AsOf = "", force: Force = False) -> None:
        from nba.jobs.nightly import run_nightly

        wiring = wiring_of(context)
        run_nightly(
            wiring,
            moment(wiring, as_of),
            progress=shown(),
            force=force,
            from_step=name if force else None,
            until_step=name,
        )


for _name, _text in {
    "train": "Fit the models that are due.",
    "score": "Score every customer with the champions.",
    "publish": "Put the plan where the API reads it.",
}.items():
    _step_verb(_name, _text)
