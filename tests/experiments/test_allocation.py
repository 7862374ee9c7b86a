"""The measurements of the allocation, in small."""

from __future__ import annotations

import pytest

from experiments.allocation.run import bench_allocation


def test_every_line_is_printed_and_the_bars_are_met_in_small(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = bench_allocation(customers=20_000, clerks=20, draws=60, checked_clerks=5)
    assert len(capsys.readouterr().err.splitlines()) == len(lines) == 23
    loose = [line for line in lines if line.met is False and "chi-square" not in line.name]
    assert loose == []
