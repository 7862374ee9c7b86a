"""Which kinds of model exist, by name and kind, each imported when it is asked for.

A package of a retailer's own adds kinds by entry points of the group `nba.models`, named
`NAME.KIND`::

    [project.entry-points."nba.models"]
    "affinity.store_best" = "acme_models:StoreBest"
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from nba.errors import ConfigError
from nba.models.base import Model

#: The entry points by which a package adds kinds.
GROUP: Final = "nba.models"
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
    own = {} if (name, kind) in KINDS else own_kinds()
    try:
        module, _, attribute = (KINDS | own)[name, kind].partition(":")
    except KeyError:
        known = sorted(known for owner, known in KINDS | own if owner == name)
        raise ConfigError(
            f"models/{name}.yaml names an unknown kind",
            expected=f"one of {known}",
            found=repr(kind),
            next_step="correct `kind`, or install the package that brings it (entry points of "
            f"the group {GROUP!r})",
        ) from None
    found = getattr(import_module(module), attribute)
    if (found.name, found.kind) != (name, kind):
        raise ConfigError(
            f"the model of kind {kind!r} calls itself otherwise",
            expected=f"name {name!r} and kind {kind!r} on {module}:{attribute}",
            found=f"name {found.name!r} and kind {found.kind!r}",
            next_step=f"make entry point and class agree: {name}.{kind}",
        )
    return cast("type[Model]", found)


def own_kinds() -> dict[tuple[str, str], str]:
    """Return the kinds that installed packages bring: (name, kind) → "module:class"."""
    found = {}
    for point in entry_points(group=GROUP):
        name, _, kind = point.name.partition(".")
        found[name, kind] = point.value
    return found
