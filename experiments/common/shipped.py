"""The models' parameters as the repository ships them."""

from __future__ import annotations

from typing import Any

from experiments.common.data import REPOSITORY
from nba.models.affinity.config import TwoStageConfig
from nba.models.contact_value.config import ContactValueConfig
from nba.models.spec import read_spec
from nba.models.timing.hazard import HazardConfig


def shipped_affinity(**changes: Any) -> TwoStageConfig:
    """Return the parameters of `models/affinity.yaml`, with `changes`."""
    given = read_spec(REPOSITORY / "models" / "affinity.yaml").parameters
    return TwoStageConfig.model_validate({**given, **changes})


def shipped_timing(**changes: Any) -> HazardConfig:
    """Return the parameters of `models/timing.yaml`, with `changes`."""
    given = read_spec(REPOSITORY / "models" / "timing.yaml").parameters
    return HazardConfig.model_validate({**given, **changes})


def shipped_mode(**changes: Any) -> ContactValueConfig:
    """Return the parameters of `models/mode.yaml`, with `changes`."""
    given = read_spec(REPOSITORY / "models" / "mode.yaml").parameters
    return ContactValueConfig.model_validate({**given, **changes})
