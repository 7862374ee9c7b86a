"""`nba simulate`: a retail world with known truth, written as tables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from nba.errors import UsageError
from nba.simulation import Family, Preset, WorldConfig, simulate
from nba.simulation.describe import describe


def make_world(
    folder: Path | None,
    *,
    preset: str,
    family: str,
    customers: int,
    clerks: int,
    stores: int,
    days: int,
    seed: int,
    describe_it: bool,
) -> list[str]:
    """Make a world, write its tables to `folder`, and return what to print.

    Parameters
    ----------
    folder : Path or None
        Where the tables go (`tables/`) and, apart from them, the truth (`truth/`).
    preset, family : str
        Which contacts fit whom, and how effects arise.
    describe_it : bool
        Print the world's rates beside the plausible bands.
    """
    if folder is None and not describe_it:
        raise UsageError(
            "nothing to do",
            expected="a folder for the tables, or --describe",
            found="neither",
            next_step="nba simulate FOLDER",
        )
    config = WorldConfig(
        preset=Preset(preset),
        family=Family(family),
        customers=customers,
        clerks=clerks,
        stores=stores,
        days=days,
        seed=seed,
    )
    lines = []
    if folder is not None:
        simulate(config, folder / "tables", folder / "truth")
        tables, day = folder / "tables", config.start + timedelta(days=config.days)
        lines += [
            f"wrote {tables} and, apart from them, {folder / 'truth'}",
            f"its history ends before {day}: `nba ingest {tables}`, then `nba run --as-of {day}`",
        ]
    return [*lines, *(describe(config).splitlines() if describe_it else [])]
