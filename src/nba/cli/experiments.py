"""Verbs of sizing and of comparisons on own tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nba.cli.common import AsJson, emit, moment, wiring_of
from nba.schema.languages import Language
from nba.schema.words import DrawUnit
from nba.settings import SETTINGS_FILE

if TYPE_CHECKING:
    from nba.wiring import Wiring

Version = Annotated[str, typer.Option("--version", help="The version's number.")]
Reason = Annotated[str, typer.Option(help="Why; written to the version and its MLflow run.")]
ModelName = Annotated[str, typer.Argument(help="timing, affinity or mode.")]
UnitOption = Annotated[
    DrawUnit, typer.Option(help="Who draws an arm: a clerk does for all customers.")
]
verbs = typer.Typer()
experiment_app = typer.Typer(help="Models compared on your own tables.", no_args_is_help=True)


@verbs.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which; `nba bench list` names them.")],
    option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, repeatable.")] = None,
    customers: Annotated[
        int, typer.Option(help="Of the shop that is made; as `--option customers=…`.", min=0)
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
) -> None:
    """Measure what a project takes on this machine; ratios to a limit in the same run."""
    from nba.jobs.experiment_spec import as_text
    from nba.jobs.experiments import BENCHES, named

    if name == "list":
        typer.echo("\n".join(f"{bench.name:<12} {bench.question}" for bench in BENCHES.values()))
        return
    spec = named(name, BENCHES)
    given = [*(option or []), *([f"customers={customers}"] if customers else [])]
    text = as_text(spec.call(spec.parse(given)))
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
    time_zone: Annotated[
        str,
        typer.Option(help="Where naive times stand, unless the mapping says (Asia/Shanghai)."),
    ] = "",
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
    minutes: Annotated[
        float | None,
        typer.Option(help="Time limit: what is not asked for is left out after it (10)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Default: experiments/NAME.")] = None,
    tracking_uri: Annotated[
        str, typer.Option(help="The MLflow store in which the run is logged; empty: none.")
    ] = "",
) -> None:
    """Compare timing, affinity or mode models on your own tables."""
    from nba.jobs.experiment_spec import run_experiment
    from nba.jobs.experiments import EXPERIMENTS, named

    options = {
        "data": data,
        "mapping": mapping,
        "cutoff": cutoff,
        "time_zone": time_zone,
        "arm": arm,
        "control": control,
        "outcome": outcome,
        "cost": tuple(cost or ()),
        "group": group,
        "propensity": propensity,
        "exclude": tuple(exclude or ()),
        "seed": seed,
        "minutes": minutes,
    }
    given = {key: value for key, value in options.items() if value not in (None, "", ())}
    place = out or context.obj / "experiments" / name
    typer.echo(run_experiment(named(name, EXPERIMENTS), given, place, tracking_uri=tracking_uri))


@experiment_app.command("list")
def experiment_list(context: typer.Context) -> None:
    """Name the experiments and the tests of this project, with what came of them."""
    from nba.jobs.experiments import EXPERIMENTS, list_experiments

    for line in list_experiments(EXPERIMENTS, context.obj / "experiments"):
        typer.echo(line)
    if (context.obj / SETTINGS_FILE).is_file():
        from nba.jobs.impact.live_record import live_tests

        wiring = wiring_of(context)
        for test in live_tests(wiring.project):
            typer.echo(test.line(wiring.settings.currency))


@experiment_app.command("report")
def experiment_report(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Which.")]
) -> None:
    """Print an experiment's page and its latest result."""
    from nba.jobs.experiments import report_lines

    for line in report_lines(context.obj / "experiments", name):
        typer.echo(line)


@experiment_app.command("models")
def experiment_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List every version of every model: which serves, which was refused, and why."""
    from nba.jobs.promotion import list_models, model_lines

    rows = list_models(wiring_of(context))
    emit(as_json, rows, lambda: model_lines(rows))


@experiment_app.command("promote")
def experiment_promote(
    context: typer.Context,
    model: ModelName,
    reason: Reason,
    version: Version = "",
    override: Annotated[
        bool, typer.Option("--override", help="Also where its trial refused it.")
    ] = False,
) -> None:
    """Make a version of a model (by default the challenger) the champion."""
    from nba.jobs.promotion import describe_change, promote

    wiring = wiring_of(context)
    promoted = promote(wiring, model, number=version, reason=reason, override=override)
    typer.echo(describe_change(promoted))


@experiment_app.command("rollback")
def experiment_rollback(
    context: typer.Context, model: ModelName, reason: Reason, version: Version = ""
) -> None:
    """Go back to an earlier version (by default the champion before) and hold it."""
    from nba.jobs.promotion import describe_change, rollback

    wiring = wiring_of(context)
    typer.echo(describe_change(rollback(wiring, model, number=version, reason=reason)))


First = Annotated[str, typer.Option("--from", help="The first day (default: of the first plan).")]
Last = Annotated[str, typer.Option("--to", help="The last day (default: of the last plan).")]


def _days(wiring: Wiring, first: str, last: str) -> tuple[date | None, date | None]:
    """Return the days of a call, None where it names none."""
    given = (("--from", first), ("--to", last))
    days = [moment(wiring, text, option=option).date() if text else None for option, text in given]
    return days[0], days[1]


@experiment_app.command("analyse")
def experiment_analyse(
    context: typer.Context,
    first: First = "",
    last: Last = "",
    control: Annotated[str, typer.Option(help="The arm to hold against.")] = "holdout",
    as_json: AsJson = False,
) -> None:
    """Say what every running arm changed so far; may be looked at every day."""
    from nba.jobs.impact.live import analyse_arms, analysis_lines

    wiring = wiring_of(context)
    analysis = analyse_arms(wiring, *_days(wiring, first, last), control=control)
    emit(as_json, analysis.to_dicts(), lambda: analysis_lines(analysis, wiring.settings.currency))


@experiment_app.command("power")
def experiment_power(
    context: typer.Context,
    share: Annotated[float, typer.Option(help="Share of customers in the control.")] = 0.1,
    last: Annotated[str, typer.Option("--to", help="The last day of sales to look at.")] = "",
    unit: UnitOption = DrawUnit.CUSTOMER,
    as_json: AsJson = False,
) -> None:
    """Say how small a difference a test of so many weeks could find, before it begins."""
    from nba.jobs.impact.live import plan_lines, plan_test

    wiring = wiring_of(context)
    day = moment(wiring, last, option="--to").date()
    sizes = plan_test(wiring, day, share=share, unit=unit)
    currency = wiring.settings.currency
    emit(as_json, sizes.to_dicts(), lambda: plan_lines(sizes, currency, share, unit))


@experiment_app.command("what-if")
def experiment_what_if(
    context: typer.Context,
    change: Annotated[
        str,
        typer.Argument(
            help="`leave_alone`, `only MODE`, `without ACTION_TYPE`, `times NUMBER`, or `follow "
            "lists` where the engine watches; in quotes. Not with files or models."
        ),
    ] = "",
    catalogue: Annotated[
        Path | None, typer.Option(help="A file in place of serving/actions.yaml.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="A file in place of serving/contact_policy.yaml.")
    ] = None,
    levers: Annotated[
        Path | None, typer.Option(help="A file in place of serving/levers.yaml.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="MODEL=VERSION in place of what served, repeatable.")
    ] = None,
    first: First = "",
    last: Last = "",
    locale: Annotated[Language, typer.Option(help="Language of `follow lists`.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Say what other rules would have earned, from the log; or that the log cannot say."""
    from nba.jobs.impact.apprentice import FOLLOW_LISTS
    from nba.jobs.impact.live import what_if_policy
    from nba.jobs.impact.what_if import what_if_changed, what_if_figures, what_if_lines

    wiring = wiring_of(context)
    days = _days(wiring, first, last)
    given = {"actions": catalogue, "contact_policy": policy, "levers": levers}
    files = {name: path for name, path in given.items() if path is not None}
    models = _pairs(model or [], "MODEL=VERSION, as timing=3")
    _one_change(change, files, models)
    if change == FOLLOW_LISTS:
        _follow_lists(wiring, days, locale, as_json=as_json)
        return
    if change:
        estimate = what_if_policy(wiring, *days, change)
    else:
        estimate = what_if_changed(wiring, *days, files=files, models=models)
    currency = wiring.settings.currency
    emit(as_json, what_if_figures(estimate), lambda: what_if_lines(estimate, currency))


def _one_change(change: str, files: Mapping[str, Path], models: Mapping[str, str]) -> None:
    """Refuse a call that names no change, or two that are told in different ways."""
    from nba.errors import UsageError

    if bool(change) == bool(files or models):
        raise UsageError(
            "what-if takes a change in words, or files and models",
            expected="`times 0.5` and its like; or --catalogue, --policy, --levers, --model",
            found="both" if change else "neither",
        )


def _follow_lists(
    wiring: Wiring, days: tuple[date | None, date | None], locale: str, *, as_json: bool
) -> None:
    """Print what following the lists of a watching engine would be worth."""
    from dataclasses import asdict

    from nba.jobs.impact.apprentice import FOLLOW_LISTS, follow_lines, follow_lists
    from nba.schema.languages import language_of

    found = follow_lists(wiring, *days)
    language, currency = language_of(locale, "en"), wiring.settings.currency
    figures = {"policy": FOLLOW_LISTS, "verdict": found.verdict, **asdict(found)}
    emit(as_json, figures, lambda: follow_lines(found, language, currency))


@experiment_app.command("compare")
def experiment_compare(
    context: typer.Context,
    model: ModelName,
    first: First = "",
    last: Last = "",
    as_json: AsJson = False,
) -> None:
    """Hold a challenger's plans, which nobody was served, against those that were."""
    from nba.jobs.impact.live import compare_challenger, comparison_lines

    wiring = wiring_of(context)
    found = compare_challenger(wiring, model, *_days(wiring, first, last))
    emit(as_json, found.figures(), lambda: comparison_lines(found, wiring.settings.currency))


@experiment_app.command("start")
def experiment_start(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The test's name: small letters, digits, - and _.")],
    reason: Annotated[str, typer.Option(help="What is to be decided by it.")],
    arm: Annotated[list[str] | None, typer.Option(help="LIST=SHARE, repeatable.")] = None,
    spec: Annotated[
        Path | None,
        typer.Option(help="A YAML file of arms with a catalogue, policy, texts or models."),
    ] = None,
    weeks: Annotated[int, typer.Option(help="How long it is meant to run.")] = 8,
    unit: Annotated[
        DrawUnit | None, typer.Option(help="Who draws an arm: a clerk does for all customers.")
    ] = None,
) -> None:
    """Test lists, rules or models against the engine from the next plan on; says what it finds."""
    from nba.jobs.impact.live_record import ArmRecord
    from nba.jobs.impact.live_spec import arms_of_spec, read_live_spec
    from nba.jobs.impact.live_tests import start_test

    wiring = wiring_of(context)
    lists = {one: ArmRecord(share=share) for one, share in _shares(arm or []).items()}
    own = {} if spec is None else arms_of_spec(wiring, spec)
    _refuse_twice(lists, own)
    if unit is None:
        unit = DrawUnit.CUSTOMER if spec is None else read_live_spec(spec).unit
    with wiring.at_work():
        test = start_test(wiring, name, {**lists, **own}, weeks=weeks, reason=reason, unit=unit)
    typer.echo(test.line(wiring.settings.currency))


def _refuse_twice(lists: Mapping[str, object], own: Mapping[str, object]) -> None:
    """Refuse an arm that both --arm and the file name."""
    from nba.errors import UsageError

    twice = sorted(set(lists) & set(own))
    if twice:
        raise UsageError("an arm is given twice", expected="once", found=", ".join(twice))


def _pairs(given: list[str], form: str) -> dict[str, str]:
    """Return `NAME=VALUE` as a mapping."""
    from nba.errors import UsageError

    wrong = [text for text in given if not all(text.partition("="))]
    if wrong:
        raise UsageError("an option has another form", expected=form, found=", ".join(wrong))
    return {name: value for name, _, value in (text.partition("=") for text in given)}


def _shares(given: list[str]) -> dict[str, float]:
    """Return `LIST=SHARE` as a mapping."""
    from nba.errors import UsageError

    form = "LIST=SHARE, as due_worth=0.3"
    pairs = _pairs(given, form)
    try:
        return {name: float(share) for name, share in pairs.items()}
    except ValueError:
        raise UsageError("--arm is no share", expected=form, found=", ".join(given)) from None


@experiment_app.command("stop")
def experiment_stop(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The test's name.")],
    reason: Annotated[str, typer.Option(help="Why; kept, and written to MLflow.")],
) -> None:
    """End a test: from the next plan on the shares of nba.yaml hold again."""
    from nba.jobs.impact.live_tests import stop_test

    wiring = wiring_of(context)
    with wiring.at_work():
        test = stop_test(wiring, name, reason=reason)
    typer.echo(test.line(wiring.settings.currency))
