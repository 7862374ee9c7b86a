"""The Hillstrom e-mail test: 64,000 customers, men's mail, women's mail or none at random.

The recipe is fixed on planted worlds; here it runs once. Learned on visits, since only 578
customers bought; spend and conversion are valued on the same choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from experiments.common.data import read_public
from nba.evaluation.mode_baselines import BASELINES
from nba.evaluation.mode_experiment import run_mode_experiment
from nba.evaluation.mode_summary import OURS, SINGLE, ModeExperiment
from nba.jobs.progress import to_stderr

FEATURES: Final = (
    "recency",
    "history_segment",
    "history",
    "mens",
    "womens",
    "zip_code",
    "newbie",
    "channel",
)
CONTROL: Final = "No E-Mail"
MAIL_COST: Final = 0.06
#: Valued on the choices that were learned on visits.
VALUED: Final = ("conversion", "spend")
COSTS: Final = {"Mens E-Mail": MAIL_COST, "Womens E-Mail": MAIL_COST}


def mode_hillstrom(
    *,
    repeats: int = 5,
    folds: int = 10,
    seed: int = 0,
    compare: Sequence[str] = tuple(BASELINES),
    threads: int = 2,
) -> dict[str, Any]:
    """Run the experiment and return its result, bars included.

    Parameters
    ----------
    repeats, folds : int
        Of the cross-fitting.
    seed : int
    compare : sequence of str
        Baselines, run in the first repeat.
    threads : int
    """
    table = read_public("hillstrom", "email_campaign.parquet")
    runs: dict[str, ModeExperiment] = {}
    for name, cost, also in (("visit", None, VALUED), ("visit_minus_cost", COSTS, ())):
        to_stderr(f"outcome {name}")
        runs[name] = run_mode_experiment(
            table,
            "segment",
            CONTROL,
            "visit",
            cost=cost,
            features=FEATURES,
            also=also,
            folds=folds,
            repeats=repeats,
            seed=seed,
            compare=compare if name == "visit" else (),
            threads=threads,
            progress=to_stderr,
        )
    return {
        "question": "Does choosing a mail per customer ever lose against the best mail for all?",
        "protocol": f"{folds}-fold cross-fitting over all rows, {repeats} repeats, learned on "
        "visits, best single arm chosen on the training folds, doubly robust paired differences; "
        "conversion and spend are valued on the choices learned on visits",
        "seed": seed,
        "bars": _bars(runs),
        "outcomes": {name: run.result for name, run in runs.items()},
        "tables": {name: run.markdown() for name, run in runs.items()},
    }


def _bars(runs: dict[str, ModeExperiment]) -> list[dict[str, Any]]:
    """Return each bar with what was asked, what was found, and whether it is met."""

    visit = runs["visit"].result

    def policy(name: str, which: str = OURS) -> dict[str, Any]:
        rows: list[dict[str, Any]] = (
            visit["also"][name] if name in VALUED else runs[name].result["policies"]
        )
        return next(row for row in rows if row["policy"] == which)

    bars = [
        ("visit, IPS", ">= 0.1835", policy("visit")["ips"], policy("visit")["ips"] >= 0.1835),
        (
            "visit, paired doubly robust difference",
            ">= 0",
            policy("visit")["difference"],
            policy("visit")["difference"] >= 0,
        ),
    ]
    for name in VALUED:
        ours, single = policy(name), policy(name, SINGLE)
        share = ours["difference"] / single["dr"]
        bars += [
            (f"{name}, difference as a share", ">= -0.02", share, share >= -0.02),
            (f"{name}, paired z", "> -1.7", ours["z"], ours["z"] > -1.7),
        ]
    net = policy("visit_minus_cost")["ips"]
    bars.append(("visit minus cost, IPS", ">= 0.1225", net, net >= 0.1225))
    pairs = visit["calibration"]
    pair = next(p for p in pairs if {p["arm"], p["against"]} == set(COSTS))
    bars += [
        (
            "men's against women's effect, slope",
            "0.7 .. 1.3",
            pair["slope"],
            0.7 <= pair["slope"] <= 1.3,
        ),
        ("men's against women's effect, t", ">= 6", pair["t"], pair["t"] >= 6),
        (
            "AUUC, ranked within folds",
            ">= 0.0395",
            visit["uplift"]["auuc"],
            visit["uplift"]["auuc"] >= 0.0395,
        ),
    ]
    return [
        {"bar": bar, "asked": asked, "found": float(found), "met": bool(met)}
        for bar, asked, found, met in bars
    ]
