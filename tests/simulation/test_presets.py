"""The presets show what design section 1 reports, and what the docs state."""

from __future__ import annotations

import pytest

from nba.schema.words import CONTACT_MODES
from nba.simulation import World, WorldConfig
from nba.simulation.bands import REPORTED, band_study
from nba.simulation.config import EFFECTS, Preset
from nba.simulation.describe import describe, rates


@pytest.mark.proof
@pytest.mark.parametrize("mode", CONTACT_MODES)
def test_report_preset_shows_the_bands_mostly_by_selection(mode):
    """Sampling error of 6,000 customers is about .02; the bands are kept within that."""
    study = band_study(Preset.PUBLISHED, mode, seed=7, customers=6000)
    for row, band in zip(study.iter_rows(named=True), REPORTED[mode], strict=True):
        if band is not None:
            assert band[0] - 0.03 <= row["change"] <= band[1] + 0.03, row
            assert row["caused"] <= row["change"] / 3, row


@pytest.mark.proof
def test_sober_contacts_cause_one_to_five_percent_of_margin():
    found = rates(WorldConfig(customers=20_000, preset="conservative", seed=1))
    assert 0.01 <= found["margin caused by contact, share"] <= 0.05


def test_conservative_permutes_the_fit_so_that_the_prior_is_wrong():
    """Each kind's best mode is another than in `published`; the values are the same."""
    report, conservative = EFFECTS[Preset.PUBLISHED].fit, EFFECTS[Preset.CONSERVATIVE].fit
    assert (report.argmax(axis=1) == [0, 1, 2]).all()
    assert sorted(conservative.argmax(axis=1)) == [0, 1, 2]
    assert (report.argmax(axis=1) != conservative.argmax(axis=1)).all()
    assert sorted(report.ravel()) == sorted(conservative.ravel())


def test_rates_are_plausible():
    """Ranges and their sources stand in docs/simulation.md."""
    found = rates(WorldConfig(customers=800, days=200, pilot_days=40))
    assert 0.30 < found["bought again within 30 days"] < 0.60
    assert 0.0005 < found["blocks per contact"] < 0.006
    assert 0.02 < found["chats responded to"] < 0.10
    assert 0.03 < found["friends who engaged in the last 30 days"] < 0.2


def test_describe_prints_the_rates():
    config = WorldConfig(customers=300, days=60, pilot=False)
    text = describe(World(config), study_customers=0)
    assert "bought again within 30 days" in text
    assert "margin caused by contact" in text


@pytest.mark.proof
def test_describe_prints_the_bands():
    text = describe(WorldConfig(customers=300, days=60, pilot=False), study_customers=300)
    assert text.count("purchase frequency") == 3
