"""Which kinds of model exist, by name and kind, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

from nba.errors import ConfigError
from nba.models.base import Model

#: (name, kind) → "module:class".
KINDS: Final[dict[tuple[str, str], str]] = {
    ("timing", "recency_gap"): "nba.models.timing.recency_gap:RecencyGap",
    ("timing", "hazard"): "nba.models.timing.hazard:Hazard",
    ("affinity", "decayed_counts"): "nba.models.affinity.decayed_counts:DecayedCountsAffinity",
    ("affinity", "two_stage"): "nba.models.affinity.two_stage:TwoStageAffinity",
    ("mode", "contact_value"): "nba.models.contact_value.model:ContactValueMode",
    ("mode", "prior"): "nba.models.mode.prior:PriorMode",
    ("mode", "residual_effects"): "nba.models.mode.residual_effects:ResidualEffectsMode",
}
#: Kinds that were called otherwise once: (name, old kind) → kind.
RENAMED: Final[dict[tuple[str, str], str]] = {("mode", "doubly_robust"): "residual_effects"}


def model_class(name: str, kind: str) -> type[Model]:
    """Return the class of a model.

    Raises
    ------
    ConfigError
        When no such kind exists, naming those that do, or what it is called now.
    """
    if (name, kind) in RENAMED:
        raise ConfigError(
            f"the {name} model of kind {kind!r} has another name",
            expected=repr(RENAMED[name, kind]),
            found=repr(kind),
            next_step=f"write `kind: {RENAMED[name, kind]}` in models/{name}.yaml; "
            "the next `nba run` fits it anew",
        )
    try:
        module, _, attribute = KINDS[name, kind].partition(":")
    except KeyError:
        raise ConfigError(
            f"models/{name}.yaml names an unknown kind",
            expected=f"one of {sorted(known for owner, known in KINDS if owner == name)}",
            found=repr(kind),
            next_step="correct `kind`",
        ) from None
    return cast("type[Model]", getattr(import_module(module), attribute))
