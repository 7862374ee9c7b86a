"""The page of the Open Bandit experiment: Markdown from its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common.pages import write_page


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write `result.json` and the page; return the page."""
    return write_page(result, bandit_page(result), folder)


def bandit_page(result: Mapping[str, Any]) -> str:
    """Return the page of `ope_open_bandit`."""
    rows = "\n".join(
        f"| {r['campaign']} | {r['logged_by']} | {r['policy']} | {r['method']} | {r['value']:.5f} "
        f"[{r['lower']:.5f}, {r['upper']:.5f}] | {r['on_policy']:.5f} [{r['on_policy_lower']:.5f}, "
        f"{r['on_policy_upper']:.5f}] | {r['z_to_on_policy']:+.2f} | {r['effective_rows']:.0f} | "
        f"{r['mean_weight']:.3f} | {r['clipped_share']:.2%} |"
        for r in result["estimates"]
    )
    return f"""# Open Bandit: the value of the other policy

**Question.** {result["question"]}

**Protocol.** {result["protocol"]}. Seed {result["seed"]}.

**Command.** `python -m experiments ope_open_bandit`

| campaign | log of | policy | method | estimate, 95 % | its own log | z | ESS | mean weight | cut |
|---|---|---|---|---|---|---|---|---|---|
{rows}

Few clicks (about fifty per log): the intervals are wide, and no policy can be ranked here.
"""
