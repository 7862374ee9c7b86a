"""Verbs of webhooks."""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import urlsplit

import typer

from nba.cli.common import AsJson, emit, wiring_of
from nba.errors import UsageError
from nba.stores.hooks import HookEvent

hooks_app = typer.Typer(help="Webhooks: who is told what happened.", no_args_is_help=True)
HookId = Annotated[str, typer.Argument(help="The webhook's id.")]
_OFFERED = tuple(kind for kind in HookEvent if kind is not HookEvent.TEST)


@hooks_app.command("add")
def hooks_add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where messages go: https://…")],
    event: Annotated[
        list[str] | None,
        typer.Option(help=f"What to tell, again for more: {', '.join(_OFFERED)} (default: all)."),
    ] = None,
) -> None:
    """Add a webhook; its secret is shown this once."""
    if urlsplit(url).scheme not in ("https", "http") or not urlsplit(url).hostname:
        raise UsageError("a webhook is a URL", expected="https://HOST/PATH", found=url)
    unknown = sorted(set(event or ()) - {str(kind) for kind in _OFFERED})
    if unknown:
        raise UsageError(
            "no such event", expected=f"one of {', '.join(_OFFERED)}", found=", ".join(unknown)
        )
    wanted = [HookEvent(kind) for kind in event or _OFFERED]
    hook_id, secret = wiring_of(context).plan_store.add_hook(url, wanted)
    typer.echo(f"{hook_id} {secret}")


@hooks_app.command("list")
def hooks_list(context: typer.Context) -> None:
    """Print all webhooks without their secrets, with what waits and what died."""
    rows = wiring_of(context).plan_store.hooks()
    if not rows:
        typer.echo("no webhooks: `nba hooks add URL` adds one", err=True)
    for row in rows:
        typer.echo(json.dumps(row, default=str, ensure_ascii=False))


@hooks_app.command("test")
def hooks_test(context: typer.Context, hook_id: HookId) -> None:
    """Send a test message now, and say what came back."""
    from nba.connect.courier import deliver_due

    store = wiring_of(context).plan_store
    store.tell(HookEvent.TEST, {"hook_id": hook_id}, only=hook_id)
    done = deliver_due(store)
    typer.echo("\n".join(done.lines()))
    if not done.delivered:
        raise typer.Exit(1)


@hooks_app.command("rotate")
def hooks_rotate(context: typer.Context, hook_id: HookId) -> None:
    """Make a new secret, shown this once; the one before signs too for a day."""
    typer.echo(wiring_of(context).plan_store.rotate_hook(hook_id))


@hooks_app.command("remove")
def hooks_remove(context: typer.Context, hook_id: HookId) -> None:
    """Forget a webhook and what waits for it."""
    wiring_of(context).plan_store.remove_hook(hook_id)
    typer.echo(f"removed {hook_id}")


@hooks_app.command("deliver")
def hooks_deliver(context: typer.Context, as_json: AsJson = False) -> None:
    """Send what is due; `nba serve` and `nba run` do it by themselves."""
    from nba.connect.courier import deliver_due

    done = deliver_due(wiring_of(context).plan_store)
    emit(as_json, vars(done), done.lines)


@hooks_app.command("dead")
def hooks_dead(
    context: typer.Context,
    retry: Annotated[str, typer.Option(help="Send those of this webhook again.")] = "",
) -> None:
    """Print the messages that were given up, or send those of one webhook again."""
    store = wiring_of(context).plan_store
    if retry:
        typer.echo(f"{store.revive_hook(retry)} messages wait again")
        return
    for row in store.dead_letters():
        typer.echo(json.dumps(row, default=str, ensure_ascii=False))
