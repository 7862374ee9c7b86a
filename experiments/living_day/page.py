"""The page of the day: what each hour brought, with and without replacement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.common.pages import write_page

INTRODUCTION = """# A day of living lists

**Question.** What does it earn that free places of a list are filled during the day, and are
policy, minutes and propensities kept while they are?

**Data.** The simulated shop (preset `published`) after 240 days, and its night through `nba init`,
`nba ingest` and `nba run`.

**Protocol.** Two copies of the night's operational store live the same day, hour by hour from 9 to
20; one has no reserve. Of everybody on a list or in a reserve 12 % buy by themselves, 4 % are
contacted by somebody else, 2 % complain, 1 % block and 1 % opt out, each in an hour of their own. A
clerk falls out at 11, a product is sold out at 14. Clerks work their lists from the top, from the
window of each action on: 10 % are skipped, 3 % not delivered, the rest sent. After every step all
lists are settled and held against twelve rules that read nothing but the tables: one list for a
customer, nobody after a purchase, contact, block, complaint or opt-out, caps and rest (answers to
customers' own cases excepted), consent, friendship, minutes, propensities. Then every decision of
the day is drawn again with its own seed (equal to the byte) and with many others: chi-square of
counts against the logged propensities, per cell (an alternative of a customer); 1 is exact. It is
given over the cells that expect at least five draws, and over all: rare ones are noisy. `value` is
the plan's own.

**Command.** `python -m experiments living_day`
"""


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write the result and its page into `folder`, and return the page."""
    planned = result["planned"]

    def line(name: str, key: str) -> str:
        row = result[key]
        shares = f"{row['minutes'] / planned['minutes']:.1%} | {row['value']:,.0f} | "
        shares += f"{row['value'] / planned['value']:.1%}"
        return f"| {name} | {row['actions']} | {row['minutes']:,.0f} | {shares} |"

    broken = {name: sum(found.values()) for name, found in result["broken"].items()}
    lines = [
        INTRODUCTION,
        f"**Result** ({datetime.now(tz=UTC).date()}, seed {result['seed']}, "
        f"{result['customers']:,} customers, 16 clerks of whom {result['clerks']} work).",
        "",
        "| | actions | minutes | share of planned | value | share of planned |",
        "|---|---|---|---|---|---|",
        line("planned at night", "planned"),
        line("done, places filled again", "with"),
        line("done, places left empty", "without"),
        "",
        f"Broken rules: {broken['with']} in {result['steps']['with']} steps with replacement, "
        f"{broken['without']} in {result['steps']['without']} without. "
        f"{result['replacements']} replacements in {result['decisions']} decisions; "
        f"{result['replayed_to_the_byte']} of these drawn again to the byte. Chi-square per cell "
        f"over {result['drawn_again']:,} replacements drawn with other seeds: "
        f"**{result['chi_square']:.3f}** ({result['cells']} cells; over all "
        f"{result['all_cells']} cells {result['chi_square_all']:.3f}).",
        "",
        "| hour | sent with | minutes | value | replaced so far | sent without | minutes | value |",
        "|---|---|---|---|---|---|---|---|",
        *[
            f"| {one['hour']} | {one['sent']} | {one['minutes_used']:,.0f} | "
            f"{one['value_sent']:,.0f} | {one['replaced']} | {other['sent']} | "
            f"{other['minutes_used']:,.0f} | {other['value_sent']:,.0f} |"
            for one, other in zip(result["hours"]["with"], result["hours"]["without"], strict=True)
        ],
    ]
    return write_page(result, "\n".join(lines) + "\n", folder)
