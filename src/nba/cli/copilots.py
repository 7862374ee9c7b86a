"""The verb of copilots."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nba.cli.common import wiring_of
from nba.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from nba.connect.copilot import Ask, Copilot
    from nba.wiring import Wiring

verbs = typer.Typer()
KEY = "NBA_API_KEY"


@verbs.command()
def mcp(
    context: typer.Context,
    personal: Annotated[
        bool, typer.Option("--personal", help="Show ids, names and finished messages too.")
    ] = False,
    access: Annotated[
        str, typer.Option(help="`keys`: with the key in NBA_API_KEY; or `open`, for a demo.")
    ] = "keys",
) -> None:
    """Serve read-only tools to a copilot over MCP, on standard input and output."""
    copilot_of(wiring_of(context), personal=personal, access=access).server().run("stdio")


def copilot_of(wiring: Wiring, *, personal: bool, access: str) -> Copilot:
    """Return the copilot of a project, with the rights of the key in the environment."""
    try:
        from nba.connect.copilot import Copilot, templates_of
    except ImportError as error:
        raise ConfigError(
            "copilots need the package `mcp`", next_step="install nba with the extra `mcp`"
        ) from error
    if access not in ("keys", "open"):
        raise UsageError("unknown --access", expected="keys or open", found=access)
    token = os.environ.get(KEY, "")
    if access == "keys" and not token:
        raise ConfigError(
            f"no key in {KEY}", next_step="make one with `nba keys create`, and set the variable"
        )
    templates = templates_of(wiring.decision_files.catalogue.actions)
    return Copilot(
        _asking(wiring, token, access),
        wiring.project.secret(),
        templates,
        personal,
        _newest_report(wiring) if access == "open" or _sees_reports(wiring, token) else None,
    )


def _sees_reports(wiring: Wiring, token: str) -> bool:
    """Return whether a key may see what contacting earned: a marketer's or an administrator's."""
    from nba.stores.access import Scope

    key = wiring.plan_store.verify_token(token)
    return key is not None and key.scope in (Scope.MARKETER, Scope.ADMIN)


def _newest_report(wiring: Wiring) -> Callable[[], Mapping[str, Any] | None]:
    from nba.jobs.impact.run import JSON_FILE, REPORTS

    def newest() -> Mapping[str, Any] | None:
        paths = (wiring.project.data / REPORTS).glob(f"*/{JSON_FILE}")
        path = max(paths, key=lambda path: path.stat().st_mtime, default=None)
        if path is None:
            return None
        return {"period": path.parent.name, **json.loads(path.read_text(encoding="utf-8"))}

    return newest


def _asking(wiring: Wiring, token: str, access: str) -> Ask:
    """Return what asks the API within this process, as a caller with this key."""
    import httpx2
    from starlette.concurrency import run_in_threadpool

    from nba.serving.app import create_app
    from nba.serving.run import services_of
    from nba.serving.services import Access

    app = create_app(services_of(wiring, Access(access)))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 0), raise_app_exceptions=False)

    async def ask(path: str, params: Mapping[str, object]) -> tuple[int, Any]:
        given = {name: str(value) for name, value in params.items()}
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers
        ) as client:
            answer = await client.get(path, params=given)
        await run_in_threadpool(app.state.auditor.flush)
        kind = answer.headers.get("content-type", "")
        return answer.status_code, answer.json() if "json" in kind else answer.text

    return ask
