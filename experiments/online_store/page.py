"""The page of the online store: writes and reads by store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.common.pages import write_page

INTRODUCTION = """# The online store beside Feast's own

**Question.** What do writing and reading features online cost beside Feast's own stores and a raw
read?

**Data.** Drawn values for every feature of the views that are keyed by customers alone; what is
drawn for 100,000 repeats.

**Protocol.** Packed: as a night brings a snapshot online, and read as plain values, as the service
does. Feast: `write_to_online_store` and `get_online_features(...).to_dict()` of the same views,
into its SQLite store and into Redis; it keeps a row per feature, so that fewer customers are
written and the cost is per customer. Raw: the same rows of the packed file by `sqlite3`, not
parsed. Stores take turns within one process; callers are threads.

**Command.** `python -m experiments online_store`
"""


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write the result and its page into `folder`, and return the page."""
    wrote, reads = result["write"], result["reads"]
    others = [name for name in wrote if name != "packed"]
    lines = [
        INTRODUCTION,
        f"**Result** ({datetime.now(tz=UTC).date()}): {result['customers']:,} customers, "
        f"{result['features']} features in {result['views']} views "
        f"({result['packed_bytes'] / 1e9:.2f} GB packed); {result['in_feast']:,} in Feast's own.",
        "",
        "| write | customers a second | packed is |",
        "|---|---|---|",
        f"| packed | {wrote['packed']:,.0f} | |",
        *[
            f"| {name} | {wrote[name]:,.0f} | {wrote['packed'] / wrote[name]:,.0f}x |"
            for name in others
        ],
        "",
        "| read, by callers | packed | raw | raw is | " + " | ".join(others) + " | packed is |",
        "|---|---|---|---|" + "---|" * (len(others) + 1),
        *[_line(case, reads, others) for case in reads["packed"]],
    ]
    return write_page(result, "\n".join(lines) + "\n", folder)


def _line(case: str, reads: Mapping[str, Mapping[str, float]], others: list[str]) -> str:
    packed, raw = reads["packed"][case], reads["raw"][case]
    asked = {name: reads[name].get(case) for name in others}
    rates = " | ".join(f"{rate:,.0f}" if rate else "" for rate in asked.values())
    times = ", ".join(f"{packed / rate:.1f}x" for rate in asked.values() if rate)
    return f"| {case} | {packed:,.0f} | {raw:,.0f} | {raw / packed:.1f}x | {rates} | {times} |"
