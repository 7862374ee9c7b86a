"""Verbs of the chat platform: read it, give it tasks, read back what came of them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from nba.cli.common import AsJson, emit, moment, wiring_of

chat_app = typer.Typer(help="The chat platform, both ways.", no_args_is_help=True)


@chat_app.command("sync")
def chat_sync(
    context: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, not only what callbacks named.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Believe it that most friends are gone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Load contacts, friends, tags and groups into the lake."""
    from nba.connect.chat.platforms import platform_of
    from nba.connect.chat.sync import sync
    from nba.jobs.lock import project_lock

    wiring = wiring_of(context)
    platform = platform_of(wiring.settings)
    with project_lock(wiring.project.data):
        done = sync(wiring, platform, full=full, now=datetime.now(UTC), force=force)
    emit(
        as_json,
        asdict(done),
        lambda: [
            f"{'everything' if full else 'what changed'}: {done.contacts:,} friendships "
            f"({done.new:,} new, {done.ended:,} ended, {done.repeated:,} named again), "
            f"{done.groups:,} groups with {done.members:,} members "
            f"({done.unknown_members:,} nobody's friend), {done.tags:,} tags",
            *(f"  {name:<12} {rows:>9,} rows accepted" for name, rows in done.loaded.items()),
            f"  {'refused':<12} {done.refused:>9,} rows",
        ],
    )


@chat_app.command("statistics")
def chat_statistics(
    context: typer.Context,
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last day (default: yesterday).")] = "",
    as_json: AsJson = False,
) -> None:
    """Print what the platform counted of each clerk: chats, messages, answers."""
    from nba.connect.chat.platforms import platform_of

    wiring = wiring_of(context)
    platform = platform_of(wiring.settings)
    today = moment(wiring, "")
    until = moment(wiring, last, option="--to") if last else today - timedelta(days=1)
    since = moment(wiring, first, option="--from") if first else until - timedelta(days=6)
    rows = [
        asdict(row)
        for clerk in platform.clerks()
        for row in platform.statistics(clerk, since.date(), until.date())
    ]
    emit(
        as_json,
        rows,
        lambda: [
            f"{row['clerk']:<20} {row['day']} {row['chats']:>5} chats "
            f"{row['messages']:>6} messages "
            f"{row['new_contacts']:>4} new friends"
            for row in rows
        ],
    )
