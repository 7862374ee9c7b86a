"""`nba serve`: the HTTP service of one project."""

from __future__ import annotations

from ipaddress import ip_address

from nba.errors import UsageError
from nba.jobs.progress import to_stderr
from nba.wiring import Wiring


def serve_api(wiring: Wiring, *, host: str, port: int, access: str) -> None:
    """Serve until interrupted.

    Raises
    ------
    UsageError
        When open access is asked for on an address that others can reach.
    """
    import uvicorn

    from nba.serving import create_app

    if access not in ("keys", "open"):
        raise UsageError("unknown --access", expected="keys or open", found=access)
    if access == "open" and not ip_address(host).is_loopback:
        raise UsageError(
            "open access is for a loopback address only",
            expected="127.0.0.1",
            found=host,
            next_step="use --access keys, and make keys with `nba keys create`",
        )
    base = f"http://{host}:{port}"
    to_stderr(f"serving at {base}: the clerk's page at {base}/, the API's docs at {base}/docs")
    uvicorn.run(create_app(wiring.services(access)), host=host, port=port, log_level="warning")
