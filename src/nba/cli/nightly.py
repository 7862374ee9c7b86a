"""Verbs of the nightly job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from nba.cli.common import AsJson, AsOf, Force, moment, wiring_of
from nba.errors import NbaError, UsageError
from nba.jobs.progress import Progress, shown

if TYPE_CHECKING:
    from nba.wiring import Wiring

verbs = typer.Typer()


@verbs.command()
def run(
    context: typer.Context,
    as_of: AsOf = "",
    force: Force = False,
    from_step: Annotated[str, typer.Option("--from", help="Redo from this step on.")] = "",
    only: Annotated[str, typer.Option(help="Redo this step alone, on what stands.")] = "",
    backfill: Annotated[str, typer.Option(help="FIRST..LAST: one run per day.")] = "",
    partition: Annotated[
        str, typer.Option(help="K/N: score and plan one of N partitions; the last publishes.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Walk the nightly job: ingest, features, train (when due), score, plan, publish."""
    from nba.connect.courier import told
    from nba.jobs.nightly import STEPS, days_between, run_nightly
    from nba.jobs.nightly_preview import preview
    from nba.jobs.partition import Share, run_partition

    if only and from_step:
        raise UsageError("--only and --from exclude each other", next_step="leave one of them away")
    if partition and (only or from_step or force or backfill or dry_run):
        raise UsageError("--partition stands alone", next_step="leave the other options away")
    wiring = wiring_of(context)
    days = days_between(backfill) if backfill else [moment(wiring, as_of)]
    if dry_run:
        for day in days:
            typer.echo(f"nba run --as-of {day.date()} would do:")
            lines = preview(
                wiring,
                day,
                force=force,
                from_step=only or from_step or None,
                until_step=only or STEPS[-1],
                alone=bool(only),
            )
            typer.echo("\n".join(f"  {line}" for line in lines))
        return
    progress = shown()
    with told(wiring):
        for day in days:
            progress(f"nba run --as-of {day.date()}")
            try:
                manifest = (
                    run_partition(wiring, day, Share.parse(partition), progress=progress)
                    if partition
                    else run_nightly(
                        wiring,
                        day,
                        progress=progress,
                        force=force,
                        from_step=only or from_step or None,
                        until_step=only or STEPS[-1],
                        alone=bool(only),
                    )
                )
            except SystemExit:
                progress("asked to stop: the same call goes on where this one ended")
                raise
            if as_json:
                report = {"inputs": manifest.inputs, "steps": manifest.steps}
                typer.echo(json.dumps(report, indent=1))
        if only in ("", STEPS[-1]):
            _lay_ready(wiring, progress)


def _lay_ready(wiring: Wiring, progress: Progress) -> None:
    """Lay the newest plan's answers ready; where that fails, the service makes them when asked."""
    from nba.serving.run import lay_known, lay_newest, lay_next

    steps = {"lists": lay_newest, "cards": lay_known, "next_actions": lay_next}
    for name, lay in steps.items():
        try:
            with progress.step(name) as current:
                current.report["laid"] = lay(wiring)
        except NbaError as error:
            progress(f"{name} are not laid ready: {error}")


def _step_verb(name: str, text: str) -> None:
    """Add a verb that walks the nightly job up to one step."""

    @verbs.command(name, help=text)
    def verb(context: typer.Context, as_of: AsOf = "", force: Force = False) -> None:
        from nba.jobs.nightly import STEPS, run_nightly

        wiring = wiring_of(context)
        progress = shown()
        run_nightly(
            wiring,
            moment(wiring, as_of),
            progress=progress,
            force=force,
            from_step=name if force else None,
            until_step=name,
        )
        if name == STEPS[-1]:
            _lay_ready(wiring, progress)


for _name, _text in {
    "train": "Fit the models that are due.",
    "score": "Score every customer with the champions.",
    "publish": "Put the plan where the API reads it.",
}.items():
    _step_verb(_name, _text)
