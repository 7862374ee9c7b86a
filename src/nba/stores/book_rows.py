"""What clerks and store managers see of whole books: posts, results, hand-overs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from nba.schema.words import ENGAGED_RESPONSES
from nba.stores.customers import CustomerRows, Row

GROUP: Final = "group:"
_ENGAGED: Final = ", ".join(f"'{kind}'" for kind in ENGAGED_RESPONSES)
_ANSWERS: Final = f"""
    SELECT i.clerk_id, count(DISTINCT i.interaction_id) AS contacts,
        count(DISTINCT r.interaction_id) AS answered
    FROM (SELECT * FROM ({{interactions}})
          WHERE clerk_id IN (SELECT unnest($clerks)) AND mode != 'none'
            AND channel NOT IN ('moments', 'group') AND ts >= $since AND ts < $until) AS i
    LEFT JOIN (SELECT * FROM ({{responses}}) WHERE kind IN ({_ENGAGED})) AS r
        ON r.interaction_id = i.interaction_id
    GROUP BY i.clerk_id
"""
_CASES: Final = """
    SELECT customer_id,
        count(*) FILTER (closed_at >= $since AND closed_at < $until) AS closed,
        count(*) FILTER ((closed_at IS NULL OR closed_at >= $until) AND opened_at < $late) AS late
    FROM ({service_cases}) WHERE opened_at < $until GROUP BY customer_id
"""
_SALES: Final = """
    SELECT t.customer_id,
        sum(CAST(t.quantity * t.unit_price - sign(t.quantity) * abs(coalesce(t.discount, 0))
            AS DOUBLE)) AS amount,
        sum(CAST(t.quantity AS DOUBLE) * (CAST(t.unit_price AS DOUBLE)
            - coalesce(CAST(p.cost AS DOUBLE), CAST(t.unit_price AS DOUBLE) * (1 - $rate)))
            - abs(coalesce(CAST(t.discount AS DOUBLE), 0))) AS margin
    FROM ({transactions}) AS t
    LEFT JOIN (SELECT product_id, cost FROM ({products})
        QUALIFY row_number() OVER (PARTITION BY product_id ORDER BY valid_from DESC) = 1) AS p
        USING (product_id)
    WHERE t.ts >= $since AND t.ts < $until AND t.customer_id IS NOT NULL
    GROUP BY t.customer_id
"""
_ABSENCES: Final = """
    SELECT clerk_id, date FROM ({absences})
    WHERE date >= $first AND date < $last AND clerk_id IN (SELECT unnest($clerks)) ORDER BY date
"""


class BookRows:
    """Reads whole books of one project.

    Parameters
    ----------
    rows : CustomerRows
    runs : Path
        The folder of the nightly runs.
    """

    def __init__(self, rows: CustomerRows, runs: Path) -> None:
        self._rows = rows
        self._runs = runs

    def _kept(self, day: date, name: str) -> pl.DataFrame | None:
        path = self._runs / day.isoformat() / f"{name}.parquet"
        return pl.read_parquet(path) if path.is_file() else None

    def posts(self, clerk_id: str, day: date) -> list[Row]:
        """Return the posts of a day for a clerk, each with the topic of its group."""
        posts = self._kept(day, "plan/posts")
        if posts is None:
            return []
        rows = posts.filter(pl.col("posted") & (pl.col("clerk_id") == clerk_id)).to_dicts()
        groups = [row["audience"].removeprefix(GROUP) for row in rows]
        found = self._rows.query(
            "SELECT group_id, topic FROM ({groups}) WHERE group_id IN (SELECT unnest(?))", [groups]
        )
        topics = {row["group_id"]: row["topic"] for row in found}
        return [{**row, "topic": topics.get(row["audience"].removeprefix(GROUP))} for row in rows]

    def post_members(self, audience: str, day: date) -> Sequence[Row]:
        """Return whom a post reaches."""
        members = self._kept(day, "plan/post_members")
        return [] if members is None else members.filter(pl.col("audience") == audience).to_dicts()

    def handovers(self, day: date) -> Sequence[Row]:
        """Return the hand-overs that the plan of a day proposes."""
        found = self._kept(day, "plan/handovers")
        return [] if found is None else found.to_dicts()

    def arms(self, day: date) -> pl.DataFrame:
        """Return customer_id, clerk_id and arm of the plan of a day."""
        log = self._kept(day, "plan/log")
        schema = {"customer_id": pl.String, "clerk_id": pl.String, "arm": pl.String}
        return pl.DataFrame(schema=schema) if log is None else log.select(*schema).unique()

    def expected_margin(self, day: date) -> pl.DataFrame:
        """Return customer_id and expected_margin_90d by the scores of a day."""
        timing = self._kept(day, "scores/timing")
        schema = {"customer_id": pl.String, "expected_margin_90d": pl.Float64}
        return pl.DataFrame(schema=schema) if timing is None else timing.select(*schema)

    def planned_days(self) -> list[date]:
        """Return the days of which a plan is kept, in order."""
        paths = self._runs.glob("*/plan/actions.parquet")
        return sorted(date.fromisoformat(path.parent.parent.name) for path in paths)

    def answers(self, clerks: Sequence[str], since: datetime, until: datetime) -> dict[str, Row]:
        """Return by clerk how many contacts there were and how many were answered."""
        given: dict[str, Any] = {"clerks": list(clerks), "since": since, "until": until}
        return {row["clerk_id"]: row for row in self._rows.query(_ANSWERS, given)}

    def cases(self, since: datetime, until: datetime, late: datetime) -> dict[str, Row]:
        """Return by customer how many service cases were closed, and how many are late."""
        given = {"since": since, "until": until, "late": late}
        return {row["customer_id"]: row for row in self._rows.query(_CASES, given)}

    def sales(self, since: datetime, until: datetime, *, margin_rate: float) -> pl.DataFrame:
        """Return customer_id, amount and margin of what was bought."""
        given = {"since": since, "until": until, "rate": margin_rate}
        rows = self._rows.query(_SALES, given)
        schema = {"customer_id": pl.String, "amount": pl.Float64, "margin": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def absences(self, clerks: Sequence[str], first: date, last: date) -> dict[str, list[date]]:
        """Return by clerk the days from `first` on and before `last` on which they are absent."""
        given: dict[str, Any] = {"clerks": list(clerks), "first": first, "last": last}
        found: dict[str, list[date]] = {}
        for row in self._rows.query(_ABSENCES, given):
            found.setdefault(row["clerk_id"], []).append(row["date"])
        return found
