"""The command line: one verb per job."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from nba.errors import NbaError, UsageError
from nba.jobs.progress import to_stderr
from nba.settings import Project
from nba.wiring import Wiring

app = typer.Typer(
    help="Next best action for social retail.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
actions_app = typer.Typer(help="The plan's actions.", no_args_is_help=True)
experiment_app = typer.Typer(help="Benchmarks and comparisons.", no_args_is_help=True)
plan_app = typer.Typer(help="Decide, preview, explain, replay.")
features_app = typer.Typer(help="The feature views.", no_args_is_help=True)
quarantine_app = typer.Typer(help="Rows that ingest refused.", no_args_is_help=True)
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(actions_app, name="actions")
app.add_typer(features_app, name="features")
app.add_typer(plan_app, name="plan")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(keys_app, name="keys")
app.add_typer(experiment_app, name="experiment")

AsOf = Annotated[
    str, typer.Option("--as-of", help="The day of the plan, YYYY-MM-DD (default: today).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a report for machines.")]
Force = Annotated[bool, typer.Option("--force", help="Redo what is there, on changed inputs too.")]


@app.callback()
def options(
    context: typer.Context,
    project: Annotated[Path, typer.Option("--project", help="The project's folder.")] = Path(),
) -> None:
    """Take the options that every verb shares."""
    context.obj = project


def wiring_of(context: typer.Context) -> Wiring:
    """Return the adapters of the project that the call names."""
    return Wiring(Project.open(context.obj))


def moment(wiring: Wiring, text: str) -> datetime:
    """Return 00:00 of the day named by `text`, or of today in the project's time zone."""
    if not text:
        today = datetime.now(ZoneInfo(wiring.settings.time_zone)).date()
        return datetime(today.year, today.month, today.day)
    try:
        day = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise UsageError(
            "--as-of is not a day",
            expected="YYYY-MM-DD",
            found=text,
            next_step="give the day that the plan is for",
        ) from None
    return day


def emit(as_json: bool, report: Any, lines: Callable[[], list[str]]) -> None:
    """Print a report: as JSON for machines, as lines for people."""
    if as_json:
        typer.echo(json.dumps(report, indent=1, default=str, ensure_ascii=False))
    else:
        for line in lines():
            typer.echo(line)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    time_zone: Annotated[str, typer.Option(help="IANA time zone of the project.")] = "",
) -> None:
    """Make a project: your own copy of the four folders that people edit, and `nba.yaml`."""
    from nba.jobs.init import init_project

    init_project(folder, {"time_zone": time_zone} if time_zone else {})
    typer.echo(f"made {folder}: bring tables in with `nba --project {folder} ingest FOLDER`")


@app.command()
def ingest(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder of tables.")],
    mapping: Annotated[str, typer.Option(help="A mapping's name or file.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Try it; load nothing.")] = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Draft a mapping for unknown files; load nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a folder of tables into the lake."""
    if suggest:
        from nba.data.suggest import suggest_mapping

        typer.echo(suggest_mapping(folder))
        return
    from nba.jobs.ingest import ingest_folder

    report = ingest_folder(wiring_of(context), folder, mapping=mapping, check_only=check)
    emit(as_json, report.to_json(), report.lines)


@app.command()
def run(
    context: typer.Context,
    as_of: AsOf = "",
    force: Force = False,
    from_step: Annotated[str, typer.Option("--from", help="Redo from this step on.")] = "",
    backfill: Annotated[str, typer.Option(help="FIRST..LAST: one run per day.")] = "",
    as_json: AsJson = False,
) -> None:
    """Walk the nightly job: ingest, features, train (when due), score, plan, publish."""
    from nba.jobs.nightly import days_between, run_night

    wiring = wiring_of(context)
    days = days_between(backfill) if backfill else [moment(wiring, as_of)]
    for day in days:
        to_stderr(f"nba run --as-of {day.date()}")
        manifest = run_night(wiring, day, say=to_stderr, force=force, from_step=from_step or None)
        if as_json:
            typer.echo(json.dumps({"inputs": manifest.inputs, "steps": manifest.steps}, indent=1))


def _step_verb(name: str, text: str) -> None:
    """Add a verb that walks the nightly job up to one step."""

    @app.command(name, help=text)
    def verb(context: typer.Context, as_of: AsOf = "", force: Force = False) -> None:
        from nba.jobs.nightly import run_night

        wiring = wiring_of(context)
        run_night(
            wiring,
            moment(wiring, as_of),
            say=to_stderr,
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
    from nba.jobs.nightly import Night, run_night
    from nba.jobs.review import explain_customer, explanation_lines, preview

    wiring = wiring_of(context)
    day = moment(wiring, as_of)
    if explain:
        found = explain_customer(Night(wiring, day), explain)
        report = {**vars(found), "candidates": found.candidates.to_dicts()}
        emit(as_json, report, lambda: explanation_lines(found))
    elif dry_run:
        _, diff = preview(Night(wiring, day), without=without)
        summary = diff.summary()
        emit(as_json, summary, lambda: [f"{name:<24} {value}" for name, value in summary.items()])
    else:
        redo = "plan" if force else None
        run_night(wiring, day, say=to_stderr, force=force, from_step=redo, until_step="plan")


@plan_app.command("replay")
def plan_replay(
    context: typer.Context, action_id: Annotated[str, typer.Argument(help="The action.")]
) -> None:
    """Recompute one decision from what its plan stood on, and compare the bytes."""
    from nba.jobs.review import replay_action

    found = replay_action(wiring_of(context), action_id)
    verdict = "the same bytes" if found.same else f"differs: {dict(found.differences)}"
    typer.echo(f"{action_id}: {verdict} (sha256 {found.digest})")
    raise typer.Exit(0 if found.same else 1)


@features_app.command("build")
def features_build(context: typer.Context, as_of: AsOf = "", force: Force = False) -> None:
    """Build every feature view."""
    from nba.jobs.nightly import run_night

    wiring = wiring_of(context)
    run_night(wiring, moment(wiring, as_of), say=to_stderr, force=force, until_step="features")


@actions_app.command("export")
def actions_export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write: .csv, .parquet or .jsonl.")],
    as_of: AsOf = "",
    everything: Annotated[bool, typer.Option("--all", help="Every row of the decision log.")] = (
        False
    ),
) -> None:
    """Write one row per action of a plan."""
    from nba.jobs.export import export_actions

    wiring = wiring_of(context)
    rows = export_actions(wiring, moment(wiring, as_of), out, everything=everything)
    typer.echo(f"wrote {rows} rows to {out}")


@actions_app.command("show")
def actions_show(
    context: typer.Context,
    clerk: Annotated[str, typer.Option(help="The clerk (default: the first by id).")] = "",
    as_of: AsOf = "",
    locale: Annotated[str, typer.Option(help="zh or en.")] = "en",
    limit: Annotated[int, typer.Option(help="The most rows.")] = 12,
    svg: Annotated[Path | None, typer.Option(help="Also draw it into this file.")] = None,
) -> None:
    """Print one clerk's list."""
    from nba.jobs.listing import print_list

    wiring = wiring_of(context)
    day = moment(wiring, as_of)
    print_list(wiring, day, clerk_id=clerk, locale=locale, limit=limit, svg=svg)


@features_app.command("show")
def features_show(
    context: typer.Context,
    customer: Annotated[str, typer.Argument(help="The customer.")],
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Print a customer's features as built for a day."""
    from nba.jobs.inspect import customer_features, feature_lines

    wiring = wiring_of(context)
    found = customer_features(wiring, customer, moment(wiring, as_of))
    emit(as_json, found, lambda: feature_lines(found))


@features_app.command("diff")
def features_diff(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="The earlier day.")],
    new: Annotated[str, typer.Argument(help="The later day.")],
) -> None:
    """Compare two snapshots: rows, null rates, drift and new values, with PASS and WARN lines."""
    wiring = wiring_of(context)
    for check in wiring.feature_store.diff(moment(wiring, old), moment(wiring, new)):
        typer.echo(check.line())


@features_app.command("catalogue")
def features_catalogue() -> None:
    """Print the catalogue of all features."""
    from nba.features.catalogue import catalogue_page

    typer.echo(catalogue_page())


@quarantine_app.command("list")
def quarantine_list(context: typer.Context, as_json: AsJson = False) -> None:
    """Print how many rows each rule refused, by table and column, and the first of them."""
    from nba.jobs.inspect import quarantine_counts

    found = quarantine_counts(wiring_of(context))
    emit(as_json, found, lambda: [str(row) for row in found])


@quarantine_app.command("retry")
def quarantine_retry(
    context: typer.Context,
    mapping: Annotated[str, typer.Option(help="A corrected mapping's name or file.")] = "",
    as_json: AsJson = False,
) -> None:
    """Try the refused rows again; what is accepted now goes into the lake."""
    from nba.jobs.ingest import retry_quarantine

    report = retry_quarantine(wiring_of(context), mapping=mapping)
    emit(as_json, report.to_json(), report.lines)


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
    for row in rows.iter_rows(named=True):
        typer.echo(json.dumps(row, default=str, ensure_ascii=False))


@keys_app.command("create")
def keys_create(
    context: typer.Context,
    scope: Annotated[str, typer.Argument(help="clerk, store, marketer or admin.")],
    subject: Annotated[str, typer.Option(help="The clerk's or store's id.")] = "",
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
) -> None:
    """Make an API key; its token is shown this once."""
    from nba.jobs.inspect import new_key

    typer.echo(new_key(wiring_of(context), scope, subject=subject, label=label))


@keys_app.command("list")
def keys_list(context: typer.Context) -> None:
    """Print all keys without their tokens."""
    store = wiring_of(context).plan_store
    for key in sorted(store.keys(), key=lambda key: str(key["created_at"])):
        typer.echo(json.dumps(key, default=str))


@keys_app.command("revoke")
def keys_revoke(
    context: typer.Context, key_id: Annotated[str, typer.Argument(help="The key's id.")]
) -> None:
    """Revoke a key at once."""
    wiring_of(context).plan_store.revoke_key(key_id)
    typer.echo(f"revoked {key_id}")


@app.command()
def demo(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Your own tables.")] = None,
    mapping: Annotated[str, typer.Option(help="A mapping's name or file.")] = "",
    as_of: AsOf = "",
    locale: Annotated[str, typer.Option(help="zh or en.")] = "en",
    serve: Annotated[bool, typer.Option(help="Serve the API at the end.")] = True,
    port: Annotated[int, typer.Option(help="Port on the loopback address.")] = 8321,
) -> None:
    """Show the whole path: tables, nightly job, one clerk's list, the API."""
    from nba.jobs.demo import run_demo

    folder = context.obj if context.obj != Path() else Path("demo")
    run_demo(folder, data=data, mapping=mapping, as_of=as_of, locale=locale)
    if serve:
        _serve(Wiring(Project.open(folder)), port=port, access="open")


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port.")] = 8321,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    access: Annotated[
        str, typer.Option(help="`keys`, or `open` on a loopback address only.")
    ] = "keys",
) -> None:
    """Serve the API."""
    _serve(wiring_of(context), port=port, host=host, access=access)


def _serve(wiring: Wiring, *, port: int, host: str = "127.0.0.1", access: str) -> None:
    from nba.serving.run import serve_api

    serve_api(wiring, host=host, port=port, access=access)


@app.command()
def simulate(
    folder: Annotated[Path | None, typer.Argument(help="Where the tables go.")] = None,
    preset: Annotated[str, typer.Option(help="report or sober.")] = "report",
    customers: Annotated[int, typer.Option(help="Number of customers.")] = 2000,
    clerks: Annotated[int, typer.Option(help="Number of clerks.")] = 12,
    stores: Annotated[int, typer.Option(help="Number of stores.")] = 4,
    days: Annotated[int, typer.Option(help="Days of history.")] = 365,
    seed: Annotated[int, typer.Option(help="Seed.")] = 1,
    describe: Annotated[bool, typer.Option(help="Print rates and bands.")] = False,
) -> None:
    """Make a retail world with known truth."""
    from nba.jobs.worlds import make_world

    for line in make_world(
        folder,
        preset=preset,
        customers=customers,
        clerks=clerks,
        stores=stores,
        days=days,
        seed=seed,
        describe_it=describe,
    ):
        typer.echo(line)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which; `nba bench list` names them.")],
    option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
) -> None:
    """Measure speed, scale or value; ratios to a limit in the same run."""
    from nba.jobs.bench import BENCHES, as_text, parse_options, run_bench

    if name == "list":
        typer.echo("\n".join(BENCHES))
        return
    text = as_text(run_bench(name, parse_options(option or [])))
    typer.echo(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


@experiment_app.command("run")
def experiment_run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which; `nba experiment list` names them.")],
    data: Annotated[Path | None, typer.Option(help="Folder of tables, or a test's file.")] = None,
    mapping: Annotated[str, typer.Option(help="A mapping's name or file.")] = "",
    cutoff: Annotated[str, typer.Option(help="The day from which it is predicted.")] = "",
    arm: Annotated[str, typer.Option(help="The arm's column.")] = "",
    control: Annotated[str, typer.Option(help="The control's value in it.")] = "",
    outcome: Annotated[str, typer.Option(help="The outcome's column.")] = "",
    cost: Annotated[list[str] | None, typer.Option(help="ARM=COST, repeatable.")] = None,
    group: Annotated[str, typer.Option(help="Rows of equal value belong together.")] = "",
    propensity: Annotated[str, typer.Option(help="The logged propensity's column.")] = "",
    exclude: Annotated[
        list[str] | None, typer.Option(help="A column never to learn from, repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Default: experiments/NAME.")] = None,
) -> None:
    """Run a benchmark that ships, or timing, affinity or mode on your own table."""
    from nba.jobs.experiments import Options, run_experiment

    given = Options(
        out=out or context.obj / "experiments" / name,
        data=data,
        mapping=mapping,
        cutoff=cutoff,
        arm=arm,
        control=control,
        outcome=outcome,
        cost=tuple(cost or ()),
        group=group,
        propensity=propensity,
        exclude=tuple(exclude or ()),
        seed=seed,
    )
    typer.echo(run_experiment(name, given))


@experiment_app.command("list")
def experiment_list(context: typer.Context) -> None:
    """Name all experiments and whether they have a result."""
    from nba.jobs.experiments import list_experiments

    for line in list_experiments(context.obj / "experiments"):
        typer.echo(line)


@experiment_app.command("report")
def experiment_report(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Which.")]
) -> None:
    """Print an experiment's page and its latest result."""
    from nba.jobs.experiments import report_lines

    for line in report_lines(context.obj / "experiments", name):
        typer.echo(line)


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the project: settings, configuration, stores, last run."""
    from nba.jobs.doctor import examine

    report = examine(wiring_of(context))
    emit(as_json, report, lambda: [f"{key:<18} {value}" for key, value in report.items()])


def _stop(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


def _reported(call: Callable[[], None]) -> Callable[[], None]:
    @wraps(call)
    def wrapper() -> None:
        try:
            call()
        except NbaError as error:
            print(f"nba: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None

    return wrapper


@_reported
def main() -> None:
    """Run the command line; a known error becomes its message and its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    app()
