"""Verbs of a project: make, fill, show, serve, examine it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nba.cli.common import AsJson, Locale, Verbose, emit, wiring_of
from nba.errors import UsageError

if TYPE_CHECKING:
    from nba.wiring import Wiring

verbs = typer.Typer()


@verbs.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    time_zone: Annotated[str, typer.Option(help="IANA time zone of the project.")] = "",
) -> None:
    """Make a project: your own copy of the four folders that people edit, and `nba.yaml`."""
    from nba.jobs.init import init_project

    init_project(folder, {"time_zone": time_zone} if time_zone else {})
    typer.echo(f"made {folder}: bring tables in with `nba --project {folder} ingest FOLDER`")


@verbs.command()
def ingest(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder of tables.")],
    mapping: Annotated[str, typer.Option(help="A mapping's name or file.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Try it; load nothing.")] = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Draft a mapping for unknown files; load nothing.")
    ] = False,
    verbose: Verbose = False,
    encoding: Annotated[
        str, typer.Option(help="Of the files of text, where nothing shows it.")
    ] = "",
    dates: Annotated[
        str, typer.Option(help="day_first, month_first or year_first, where no date shows it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Bring a folder of tables into the lake."""
    if suggest:
        from nba.data.suggest import suggest_mapping

        typer.echo(suggest_mapping(folder, encoding=encoding))
        return
    from nba.data.readings import ORDERS
    from nba.jobs.ingest import ingest_folder
    from nba.jobs.progress import shown

    if dates and dates not in ORDERS:
        raise UsageError(f"no order of dates is called {dates}", expected=" or ".join(ORDERS))
    if mapping and (encoding or dates):
        raise UsageError(
            "a mapping says encoding and dates itself",
            next_step="write `encoding` and `time_formats` into the mapping",
        )
    wiring = wiring_of(context)
    report = ingest_folder(
        wiring,
        folder,
        mapping=mapping,
        check_only=check,
        encoding=encoding,
        dates=dates,
        progress=shown(),
    )
    emit(as_json, report.to_json(), lambda: report.lines(verbose=verbose))


@verbs.command()
def demo(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Your own tables.")] = None,
    mapping: Annotated[str, typer.Option(help="A mapping's name or file.")] = "",
    as_of: Annotated[
        str, typer.Option(help="The day of the plan, YYYY-MM-DD (default: after the last sale).")
    ] = "",
    locale: Locale = "en",
    chat: Annotated[
        bool, typer.Option("--chat", help="Send the plan to a played chat platform, and read back.")
    ] = False,
    serve: Annotated[bool, typer.Option(help="Serve the API at the end.")] = True,
    port: Annotated[
        int, typer.Option(help="Port on the loopback address.", min=0, max=65535)
    ] = 8321,
) -> None:
    """Show the whole path: tables, nightly job, one clerk's list, the API."""
    from nba.jobs.demo import run_demo

    folder = context.obj if context.obj != Path() else Path("demo")
    run_demo(folder, data=data, mapping=mapping, as_of=as_of, locale=locale)
    context.obj = folder
    if chat:
        from nba.connect.chat.demo import show_chat

        show_chat(wiring_of(context), typer.echo)
    if serve:
        _serve(wiring_of(context), port=port, access="open")


@verbs.command()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port.", min=0, max=65535)] = 8321,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    access: Annotated[
        str, typer.Option(help="`keys`, or `open` on a loopback address only.")
    ] = "keys",
    workers: Annotated[int, typer.Option(help="Processes that share the port.", min=1, max=64)] = 1,
) -> None:
    """Serve the API."""
    _serve(wiring_of(context), port=port, host=host, access=access, workers=workers)


def _serve(
    wiring: Wiring, *, port: int, host: str = "127.0.0.1", access: str, workers: int = 1
) -> None:
    from nba.connect.courier import courier
    from nba.serving.processes import serve_api

    with courier(wiring.plan_store):
        serve_api(wiring.project, host=host, port=port, access=access, workers=workers)


@verbs.command()
def simulate(
    folder: Annotated[Path | None, typer.Argument(help="Where the tables go.")] = None,
    preset: Annotated[str, typer.Option(help="published or conservative.")] = "published",
    family: Annotated[
        str, typer.Option(help="How effects arise: capture, extra_orders, pull_forward, …")
    ] = "capture",
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
        family=family,
        customers=customers,
        clerks=clerks,
        stores=stores,
        days=days,
        seed=seed,
        describe_it=describe,
    ):
        typer.echo(line)


@verbs.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the project: settings, configuration, stores, last run."""
    from nba.jobs.doctor import doctor_lines, examine

    report = examine(wiring_of(context))
    emit(as_json, report, lambda: doctor_lines(report))
