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

    wiring = wiring_of(context)
    platform = platform_of(wiring.settings)
    with wiring.at_work():
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


@chat_app.command("send")
def chat_send(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; make nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the plan's tasks on the platform: messages, posts, tags, hand-overs; each once."""
    from nba.connect.chat.platforms import platform_of
    from nba.connect.chat.tasks import send, wanted

    wiring = wiring_of(context)
    now = datetime.now(UTC)
    if dry_run:
        tasks = [{**task.row, "recipients": len(task.recipients)} for task in wanted(wiring, now)]
        emit(
            as_json,
            tasks,
            lambda: [
                f"{row['kind']:<10} {row['clerk_id']:<16} {row['recipients']:>4} "
                f"{row['content'].get('text', '')}"
                for row in tasks
            ],
        )
        return
    done = send(wiring, platform_of(wiring.settings), now)
    emit(
        as_json,
        asdict(done),
        lambda: [
            f"{done.prepared:,} new tasks; {done.made:,} made, {done.found:,} found again, "
            f"{done.failed:,} failed, {done.waiting:,} wait for the next call"
        ],
    )


@chat_app.command("read-back")
def chat_read_back(context: typer.Context, as_json: AsJson = False) -> None:
    """Ask what became of the tasks, and decide what falls back to another channel."""
    from nba.connect.chat.platforms import platform_of
    from nba.connect.chat.results import read_back
    from nba.connect.courier import told
    from nba.connect.fallback import fall_back

    wiring = wiring_of(context)
    with told(wiring):
        done = read_back(wiring, platform_of(wiring.settings), datetime.now(UTC))
        fall_back(wiring, datetime.now(UTC))
    emit(
        as_json,
        asdict(done),
        lambda: [
            f"{done.tasks:,} tasks asked for, {done.closed:,} are over",
            *(f"  {name:<24} {count:>7,}" for name, count in sorted(done.outcomes.items())),
        ],
    )


@chat_app.command("status")
def chat_status(context: typer.Context, as_json: AsJson = False) -> None:
    """Count tasks by state, and recipients by outcome."""
    from nba.stores import chat

    with wiring_of(context).plan_store.database.reading() as connection:
        report = chat.summary(connection)
    emit(
        as_json,
        report,
        lambda: (
            [
                f"{part:<11} {name:<24} {count:>7,}"
                for part, counts in report.items()
                for name, count in sorted(counts.items())
            ]
            or ["no task was made yet"]
        ),
    )


@chat_app.command("listen")
def chat_listen(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port.", min=0, max=65535)] = 8322,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Take the platform's callbacks at /chat/callback, and greet new friends."""
    import uvicorn

    from nba.connect.chat.callbacks import envelope_of
    from nba.connect.chat.listen import listener
    from nba.connect.chat.platforms import platform_of

    wiring = wiring_of(context)
    app = listener(wiring, envelope_of(wiring), platform_of(wiring.settings))
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
