"""Verbs of the feature views."""

from __future__ import annotations

from typing import Annotated

import typer

from nba.cli.common import AsJson, AsOf, Force, emit, moment, wiring_of
from nba.jobs.progress import shown

features_app = typer.Typer(help="The feature views.", no_args_is_help=True)


@features_app.command("build")
def features_build(context: typer.Context, as_of: AsOf = "", force: Force = False) -> None:
    """Build every feature view."""
    from nba.jobs.nightly import run_nightly

    wiring = wiring_of(context)
    run_nightly(wiring, moment(wiring, as_of), progress=shown(), force=force, until_step="features")


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
    features = customer_features(wiring, customer, moment(wiring, as_of))
    emit(as_json, features, lambda: feature_lines(features))


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
