"""What the command line shows of features, explanations, quarantine and keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from nba.data.quarantine import summary
from nba.decisions.doors import said_of_closed
from nba.decisions.explain import Explanation
from nba.errors import NotFoundError, UsageError
from nba.stores.access import NAMED, Scope
from nba.stores.operational import utc_now
from nba.wiring import Wiring


def customer_features(wiring: Wiring, customer_id: str, as_of: datetime) -> dict[str, Any]:
    """Return a customer's rows of every view that is keyed by customer, as built at `as_of`."""
    features = wiring.feature_store.show(customer_id, as_of)
    return {name: rows.drop("customer_id").to_dicts() for name, rows in features.items()}


def feature_lines(found: dict[str, Any]) -> list[str]:
    """Return features as lines: view, then one line per value or row."""
    lines: list[str] = []
    for view, rows in found.items():
        lines.append(view)
        if len(rows) == 1:
            lines += [f"  {name:<32} {value}" for name, value in rows[0].items()]
        else:
            lines += [
                "  " + ", ".join(f"{name} {value}" for name, value in row.items()) for row in rows
            ]
    return lines


def explanation_lines(found: Explanation) -> list[str]:
    """Return an explanation as lines for people."""
    head = f"{found.customer_id} of clerk {found.clerk_id}, arm {found.arm or 'none'}"
    lines = [head + (f"; nothing is open: {said_of_closed(found.closed)}" if found.closed else "")]
    for row in found.candidates.iter_rows(named=True):
        facts = [f"{name} {_short(value)}" for name, value in row.items() if _says(value)]
        lines.append("  " + ", ".join(facts))
    return lines


def _says(value: object) -> bool:
    """Whether a value says anything: a candidate that was closed has no chance and no money."""
    return value not in (None, "") and value == value  # NaN is not equal to itself


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def quarantine_counts(wiring: Wiring) -> list[dict[str, Any]]:
    """Return rows in quarantine by table, column and rule, with the first offender."""
    return summary(wiring.lake).to_dicts()


def new_key(
    wiring: Wiring,
    scope: str,
    *,
    subject: str,
    label: str,
    allow_unknown: bool = False,
    expires_days: int = 0,
) -> str:
    """Make an API key and return its token.

    Parameters
    ----------
    wiring : Wiring
    scope : str
    subject : str
        The clerk's or store's id, or the source's name; empty for other scopes.
    label : str
        What the key is for.
    allow_unknown : bool
        Make it although the lake knows no such clerk or store yet.
    expires_days : int
        Days after which it is no longer valid; 0: it stays valid until it is revoked.

    Raises
    ------
    UsageError
        When the scope is unknown, or a clerk, store or source is not named.
    NotFoundError
        When the lake knows no such clerk or store.
    """
    if scope not in tuple(Scope):
        raise UsageError("unknown scope", expected=", ".join(Scope), found=scope)
    known = Scope(scope)
    if known in NAMED and not subject:
        option = "--name" if known is Scope.SOURCE else "--subject"
        raise UsageError(
            f"a {scope} key needs {option}",
            expected="the name of the system" if option == "--name" else f"the id of the {scope}",
            found="nothing",
        )
    if known in (Scope.CLERK, Scope.STORE) and not allow_unknown:
        _require_known(wiring, scope, subject)
    key = wiring.plan_store.create_key(
        known,
        subject=subject or None,
        label=label or None,
        expires_at=utc_now() + timedelta(days=expires_days) if expires_days else None,
    )
    return str(key.token)


def _require_known(wiring: Wiring, kind: str, subject: str) -> None:
    """Refuse a clerk or store that the tables do not name."""
    table = wiring.tables.at(None)[f"{kind}s"].select(f"{kind}_id")
    ids = sorted(wiring.tables.collect(table)[f"{kind}_id"].to_list())
    if subject not in ids:
        raise NotFoundError(
            f"there is no {kind} {subject!r}",
            expected=f"one of {len(ids)}, such as {ids[0]}" if ids else f"tables with a {kind}",
            next_step="check the id: it is text, and leading zeros count; for one that comes "
            "with later tables use --allow-unknown",
        )
