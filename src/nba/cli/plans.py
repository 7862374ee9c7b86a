"""Verbs of a plan: decide, preview, explain, replay; and of its actions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from nba.cli.common import AsJson, AsOf, Force, Locale, emit, moment, wiring_of
from nba.jobs.progress import shown
from nba.schema.languages import Language

Bom = Annotated[
    bool, typer.Option("--bom", help="Begin CSV with the mark by which spreadsheets know UTF-8.")
]
Raw = Annotated[
    bool, typer.Option("--raw", help="CSV for programs: texts like formulas stay as they are.")
]
plan_app = typer.Typer(help="Decide, preview, explain, replay.")
actions_app = typer.Typer(help="The plan's actions.", no_args_is_help=True)


@plan_app.callback(invoke_without_command=True)
def plan(
    context: typer.Context,
    as_of: AsOf = "",
    force: Force = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide again under today's files; leave no trace.")
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="With --dry-run: switch a factor off.")
    ] = None,
    explain: Annotated[str, typer.Option(help="Show every candidate of one customer.")] = "",
    as_json: AsJson = False,
) -> None:
    """Decide who, what, when, in which mode, and why."""
    if context.invoked_subcommand:
        return
    from nba.jobs.inspect import explanation_lines
    from nba.jobs.nightly import run_nightly
    from nba.pipeline.explain import explain_customer
    from nba.pipeline.preview import preview

    wiring = wiring_of(context)
    day = moment(wiring, as_of)
    if explain:
        explanation = explain_customer(wiring.run(day), explain)
        report = {**vars(explanation), "candidates": explanation.candidates.to_dicts()}
        emit(as_json, report, lambda: explanation_lines(explanation))
    elif dry_run:
        _, diff = preview(wiring.run(day), without=without or ())
        summary = diff.summary()
        emit(as_json, summary, lambda: [f"{name:<24} {value}" for name, value in summary.items()])
    else:
        redo = "plan" if force else None
        run_nightly(wiring, day, progress=shown(), force=force, from_step=redo, until_step="plan")


@plan_app.command("replay")
def plan_replay(
    context: typer.Context, action_id: Annotated[str, typer.Argument(help="The action.")]
) -> None:
    """Recompute one decision from what its plan stood on, and compare the bytes."""
    from nba.pipeline.replay import replay_action

    wiring = wiring_of(context)
    replayed = replay_action(wiring, wiring.settings, action_id)
    verdict = "the same bytes" if replayed.same else f"differs: {dict(replayed.differences)}"
    typer.echo(f"{action_id}: {verdict} (sha256 {replayed.digest})")
    explained = not replayed.same and replayed.erased_beside > 0
    if explained:
        typer.echo(
            f"the draw also depended on {replayed.erased_beside} customers of this clerk who were "
            "erased since; the decision stands as logged"
        )
    raise typer.Exit(0 if replayed.same or explained else 1)


@actions_app.command("export")
def actions_export(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(help="The file to write: .csv, .parquet, .jsonl, or .xlsx to fill in.")
    ],
    as_of: AsOf = "",
    everything: Annotated[bool, typer.Option("--all", help="Every row of the decision log.")] = (
        False
    ),
    bom: Bom = False,
    raw: Raw = False,
    locale: Annotated[Language, typer.Option(help="With .xlsx: the language.")] = "en",
    clerk: Annotated[str, typer.Option(help="With .xlsx: one clerk's list.")] = "",
) -> None:
    """Write one row per action of a plan; CSV and workbooks are safe to open.

    A workbook has a sheet per clerk with names, links and a choice of feedback; `nba actions
    feedback FILE` reads it back.
    """
    from nba.jobs.export import CsvStyle, export_actions
    from nba.jobs.workbook import ENDING, export_workbook

    wiring = wiring_of(context)
    day, style = moment(wiring, as_of), CsvStyle(bom, raw)
    if out.suffix == ENDING:
        rows = export_workbook(wiring, day, out, locale=locale, clerk=clerk)
        typer.echo(f"wrote {rows} rows to {out}")
        return
    rows = export_actions(wiring, day, out, everything=everything, style=style)
    typer.echo(f"wrote {rows} rows to {out}")


@actions_app.command("fall-back")
def actions_fall_back(context: typer.Context, as_json: AsJson = False) -> None:
    """Decide what is due where a clerk has not acted: the other channel, once, or nothing."""
    from nba.connect.courier import told
    from nba.connect.fallback import fall_back

    wiring = wiring_of(context)
    with told(wiring):
        done = fall_back(wiring, datetime.now(UTC))
    emit(
        as_json,
        done,
        lambda: (
            [f"{name:<10} {count:>7,}" for name, count in sorted(done.items())]
            or ["nothing is due"]
        ),
    )


@actions_app.command("feedback")
def actions_feedback(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A filled workbook of `actions export`.")],
    as_json: AsJson = False,
) -> None:
    """Read a filled workbook back as feedback; the same file again changes nothing."""
    from nba.jobs.workbook import read_feedback

    taken = read_feedback(wiring_of(context), file)
    emit(
        as_json,
        vars(taken),
        lambda: [
            f"{taken.accepted} recorded, {taken.repeated} recorded before, "
            f"{taken.blank} left empty",
            *(f"refused: {line}" for line in taken.refused),
        ],
    )
    if taken.refused:
        raise typer.Exit(1)


@actions_app.command("show")
def actions_show(
    context: typer.Context,
    clerk: Annotated[str, typer.Option(help="The clerk (default: the first by id).")] = "",
    as_of: AsOf = "",
    locale: Locale = "en",
    limit: Annotated[int, typer.Option(help="The most rows.")] = 12,
    svg: Annotated[Path | None, typer.Option(help="Also draw it into this file.")] = None,
) -> None:
    """Print one clerk's list."""
    from nba.jobs.listing import print_list

    wiring = wiring_of(context)
    day = moment(wiring, as_of)
    print_list(wiring, day, clerk_id=clerk, locale=locale, limit=limit, svg=svg)


@actions_app.command("posts")
def actions_posts(
    context: typer.Context,
    as_of: AsOf = "",
    locale: Locale = "en",
    out: Annotated[
        Path | None, typer.Option(help="Write whom each post reaches: .csv, .parquet or .jsonl.")
    ] = None,
    bom: Bom = False,
    raw: Raw = False,
) -> None:
    """Print what each group and each clerk's moments could be sent today."""
    from nba.jobs.export import CsvStyle
    from nba.jobs.plan_reports import print_posts, write_report
    from nba.pipeline.plan import POST_MEMBERS

    wiring = wiring_of(context)
    day = moment(wiring, as_of)
    if out is None:
        print_posts(wiring, day, locale=locale)
    else:
        rows = write_report(wiring, day, POST_MEMBERS, out, CsvStyle(bom, raw))
        typer.echo(f"wrote {rows} rows to {out}")


@actions_app.command("outlook")
def actions_outlook(
    context: typer.Context,
    clerk: Annotated[str, typer.Option(help="One clerk only.")] = "",
    as_of: AsOf = "",
    locale: Locale = "en",
    out: Annotated[
        Path | None, typer.Option(help="Write each customer's best day: .csv, .parquet or .jsonl.")
    ] = None,
    bom: Bom = False,
    raw: Raw = False,
) -> None:
    """Print for how many customers each of the coming days is the best."""
    from nba.jobs.export import CsvStyle
    from nba.jobs.plan_reports import print_outlook, write_report
    from nba.pipeline.plan import OUTLOOK

    wiring = wiring_of(context)
    day = moment(wiring, as_of)
    if out is None:
        print_outlook(wiring, day, clerk_id=clerk, locale=locale)
    else:
        rows = write_report(wiring, day, OUTLOOK, out, CsvStyle(bom, raw))
        typer.echo(f"wrote {rows} rows to {out}")
