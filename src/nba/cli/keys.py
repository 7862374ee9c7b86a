"""Verbs of API keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nba.cli.common import wiring_of
from nba.errors import UsageError

keys_app = typer.Typer(help="API keys.", no_args_is_help=True)


@keys_app.command("create")
def keys_create(
    context: typer.Context,
    scope: Annotated[str, typer.Argument(help="clerk, store, source, marketer or admin.")],
    subject: Annotated[str, typer.Option(help="The clerk's or store's id.")] = "",
    name: Annotated[
        str, typer.Option(help="The source's name: its orders' ids begin with it.")
    ] = "",
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="For a clerk or store that no table has yet.")
    ] = False,
    expires_days: Annotated[
        int, typer.Option(min=0, max=3650, help="Days for which it is valid; 0: until revoked.")
    ] = 0,
) -> None:
    """Make an API key; its token is shown this once."""
    from nba.jobs.inspect import new_key

    if (name or scope == "source") and subject:
        raise UsageError("a source has a name, no subject", expected="--name", found="--subject")
    if name and scope != "source":
        raise UsageError("--name is for a source", expected="--subject", found="--name")
    token = new_key(
        wiring_of(context),
        scope,
        subject=subject or name,
        label=label,
        allow_unknown=allow_unknown,
        expires_days=expires_days,
    )
    typer.echo(token)


@keys_app.command("issue")
def keys_issue(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The CSV file to write the tokens to; a new one.")],
    expires_days: Annotated[
        int, typer.Option(min=0, max=3650, help="Days for which they are valid; 0: until revoked.")
    ] = 0,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="One for every clerk, in place of those of before.")
    ] = False,
    overlap_days: Annotated[
        int, typer.Option(min=0, max=365, help="With --rotate: days in which both are valid.")
    ] = 7,
) -> None:
    """Make a key for every clerk who has none, all at once."""
    from nba.jobs.clerk_keys import issue_clerk_keys

    issued = issue_clerk_keys(
        wiring_of(context),
        out,
        expires_days=expires_days,
        rotate=rotate,
        overlap_days=overlap_days,
    )
    typer.echo(f"wrote {issued.made} keys to {out}")
    if issued.ending:
        typer.echo(f"{issued.ending} keys of before end in {overlap_days} days")


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
