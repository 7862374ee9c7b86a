"""The page of the Hillstrom experiment: Markdown from its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common.pages import write_page


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write `result.json` and the page; return the page."""
    return write_page(result, hillstrom_page(result), folder)


def hillstrom_page(result: Mapping[str, Any]) -> str:
    """Return the page of `mode_hillstrom`."""
    bars = "\n".join(
        f"| {b['bar']} | {b['asked']} | {b['found']:.5g} | {'yes' if b['met'] else '**no**'} |"
        for b in result["bars"]
    )
    uplift = result["outcomes"]["visit"]["uplift"]
    return f"""# Hillstrom: a mail for each customer, or one for all

**Question.** {result["question"]}

**Protocol.** {result["protocol"]}. Seed {result["seed"]}. The recipe was fixed on planted worlds
and run here once. 64,000 customers, three random arms, outcome over two weeks.

**Command.** `python -m experiments mode_hillstrom`

| bar | asked | found | met |
|---|---|---|---|
{bars}

AUUC {uplift["auuc"]:.5f} ± {uplift["auuc_error"]:.5f}, Qini {uplift["qini"]:.5f} ±
{uplift["qini_error"]:.5f} ({uplift["normalisation"]}).

## Visits

{result["tables"]["visit"]}

The learners beside ours ran in the first repeat, ours and the best single arm in all.

## Visits minus .06 per mail

{result["tables"]["visit_minus_cost"]}
"""
