"""Verbs of measurements and comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

verbs = typer.Typer()
experiment_app = typer.Typer(help="Benchmarks and comparisons.", no_args_is_help=True)


@verbs.command()
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
    time_zone: Annotated[
        str, typer.Option(help="Where naive times stand, unless the mapping says.")
    ] = "Asia/Shanghai",
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
    tracking_uri: Annotated[
        str, typer.Option(help="The MLflow store in which the run is logged; empty: none.")
    ] = "",
) -> None:
    """Run a benchmark that ships, or timing, affinity or mode on your own table."""
    from nba.jobs.experiments import Options, run_experiment

    given = Options(
        out=out or context.obj / "experiments" / name,
        data=data,
        mapping=mapping,
        cutoff=cutoff,
        time_zone=time_zone,
        arm=arm,
        control=control,
        outcome=outcome,
        cost=tuple(cost or ()),
        group=group,
        propensity=propensity,
        exclude=tuple(exclude or ()),
        seed=seed,
        tracking_uri=tracking_uri,
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
