"""`python -m experiments`: list the experiments, or run one."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.registry import FOLDER, experiments
from nba.errors import NbaError
from nba.jobs.experiment_spec import ExperimentSpec, run_experiment
from nba.jobs.experiments import list_experiments, named


def main(
    name: Annotated[str, typer.Argument(help="Which; without one all are listed.")] = "",
    options: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options of the experiment.")
    ] = None,
    show: Annotated[bool, typer.Option("--options", help="Say which options there are.")] = False,
    out: Annotated[Path | None, typer.Option(help="Default: the experiment's folder.")] = None,
    tracking_uri: Annotated[
        str, typer.Option(help="The MLflow store in which the run is logged; empty: none.")
    ] = "",
) -> None:
    """Run an experiment and write its result beside its question."""
    specs = experiments()
    if not name:
        typer.echo("\n".join(list_experiments(specs, FOLDER)))
        return
    spec = named(name, specs)
    if show:
        typer.echo("\n".join(option_lines(spec)))
        return
    given = spec.parse(options or [])
    typer.echo(run_experiment(spec, given, out or FOLDER / name, tracking_uri=tracking_uri))


def option_lines(spec: ExperimentSpec) -> list[str]:
    """Return the question, what is run, and every option with its value."""
    values = [
        f"  {name}={'(needed)' if value is inspect.Parameter.empty else value}"
        for name, value in spec.parameters.items()
    ]
    return [spec.question, *values, "", inspect.getdoc(spec.function) or ""]


if __name__ == "__main__":
    try:
        typer.run(main)
    except NbaError as error:
        print(f"experiments: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
