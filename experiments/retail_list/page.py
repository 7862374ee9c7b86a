"""The page of ten entries: what is known of the customer, and what the list says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.common.pages import write_page

INTRODUCTION = """# A real shop's list, read as a clerk would

**Question.** Are the first products of a real shop's list of goods that are due for the customer,
and can a clerk see why this, in this mode, now?

**Data.** Online Retail II as it ships through `nba init`, `nba ingest` (mapping
`online_retail_ii_tidy`, which derives categories from descriptions and spreads customers over
twenty clerks) and `nba run`. The shop has no contacts, so that the effects are what is believed
before any.

**Protocol.** A category counts as due where the days since the customer last bought it are at
least .7 of the customer's own median gap between days with it (the shop's, where it was bought
once), by one query over nothing but the lines before that day. The share is over all entries that
bring a product, by the first one. Categories never bought count as not due.

**Command.** `python -m experiments retail_list`
"""


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write the result and its page into `folder`, and return the page."""
    today = datetime.now(tz=UTC).date()
    lines = [
        INTRODUCTION,
        f"**Result** ({today}, list of {result['day']}). {result['listed']} entries for "
        f"{result['clerks']} clerks; {result['with_product']} bring a product. Its category is due "
        f"for the customer in **{result['due_share']:.0%}** (of all categories that customers ever "
        f"bought, {result['due_share_buyers']:.0%} are).",
        "",
        "| action type | entries |",
        "|---|---|",
        *[f"| {name} | {count} |" for name, count in result["action_types"].items()],
        "",
        "**Ten entries**, the first of each clerk:",
        "",
    ]
    for person in result["people"]:
        lines += _entry(person)
    return write_page(result, "\n".join(lines).rstrip() + "\n", folder)


def _entry(person: Mapping[str, Any]) -> list[str]:
    """Return the lines of one entry."""
    head = (
        f"### {person['customer_id']}: {person['action_type']}, {person['mode']}, "
        f"{person['from']} to {person['to']}"
    )
    return [
        head,
        "",
        f"Bring **{person['product']}** ({person['category']}). Repurchase within 30 days: "
        f"{person['p_repurchase_30d']:.0%}; worth {person['uplift']:.2f} GBP.",
        "",
        *[f"- {reason}" for reason in person["reasons"]],
        f"- Text: {person['talking_point']}",
        "",
        "| bought before | days with it | last | usual gap | days since over the gap |",
        "|---|---|---|---|---|",
        *[
            f"| {row['category']} | {row['times']} | {row['last_day']} | {row['gap_days']:.0f} | "
            f"{row['due']:.2f} |"
            for row in person["record"]
        ],
        "",
    ]
