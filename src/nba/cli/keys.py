"""Verbs of API keys."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from nba.cli.common import wiring_of

keys_app = typer.Typer(help="API keys.", no_args_is_help=True)


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
