"""Arms of a running test that plan by rules or models of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from nba.decisions.parts import ARM_TABLES
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import UnitDraw
from nba.models.affinity.offers import offers
from nba.models.base import Model, ModelInputs
from nba.models.version import describe_version, read_version
from nba.pipeline.context import RunContext
from nba.pipeline.manifest import Manifest
from nba.pipeline.ports import Ports, RunFolder
from nba.pipeline.score import model_inputs, score_all


@dataclass(frozen=True)
class ArmChange:
    """What an arm of a test has in place of the project's own.

    Parameters
    ----------
    share : float
        Of the customers.
    files : mapping of str to str
        YAML in place of a file of `serving/`: `actions`, `contact_policy`, `levers`, `texts`.
    models : mapping of str to str
        Versions in place of the champions, by model.
    """

    share: float
    files: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


def with_arms_of_test(
    ports: Ports,
    rules: DecisionRules,
    arms: Mapping[str, ArmChange],
    by_units: UnitDraw | None = None,
) -> DecisionRules:
    """Return the rules of a day on which the arms of a test plan beside them.

    Parameters
    ----------
    ports : Ports
    rules : DecisionRules
        The project's own.
    arms : mapping of str to ArmChange
    by_units : UnitDraw, optional
        Who draws the arms for all their customers.

    Raises
    ------
    InputRefusedError
        When an arm's files do not fit the project's.
    """
    variants = {}
    for name, arm in arms.items():
        told = versions_text({**versions_of(rules.model_versions), **arm.models})
        variants[name] = ports.decision_rules(told, changes=arm.files or None)
    shares = {name: arm.share for name, arm in arms.items()}
    return rules.with_variants(variants, shares, by_units)


def versions_of(text: str) -> dict[str, str]:
    """Return the versions that a text such as `mode:1,timing:3` names, by model."""
    pairs = (pair.partition(":") for pair in text.split(",") if pair)
    return {name: number for name, _, number in pairs}


def versions_text(versions: Mapping[str, str]) -> str:
    """Return versions as one text, as it stands in the export."""
    return ",".join(f"{name}:{versions[name]}" for name in sorted(versions))


def model_versions_text(manifest: Manifest) -> str:
    """Return the versions of the models that served a run as one text."""
    return versions_text(model_versions(manifest))


def model_versions(manifest: Manifest) -> dict[str, str]:
    """Return the version of each model that served a run."""
    noted = manifest.steps["train"]["versions"]
    return {name: str(noted[name]["version"]) for name in sorted(noted)}


def own_models(rules: DecisionRules, arm: str) -> dict[str, str]:
    """Return the versions that an arm of a day has in place of the champions, by model."""
    champions = versions_of(rules.model_versions)
    own = versions_of(rules.of_arm(arm).model_versions)
    return {name: number for name, number in own.items() if champions.get(name) != number}


def models_of_arm(context: RunContext, rules: DecisionRules, arm: str) -> dict[str, Model]:
    """Return the models by which an arm is scored; empty where they are the day's own."""
    own = own_models(rules, arm)
    if not own:
        return {}
    registry, noted = context.ports.registry, _noted(context.folder, arm)
    versions = {
        name: read_version(name, noted[name])
        if noted.get(name, {}).get("version") == number
        else registry.version(name, number)
        for name, number in own.items()
    }
    note = {name: describe_version(version, "") for name, version in versions.items()}
    if note != noted:
        context.folder.write_text(_note(arm), json.dumps(note, sort_keys=True))
    loaded = {name: registry.load(version) for name, version in versions.items()}
    return {**context.models, **loaded}


def _note(arm: str) -> str:
    """Return where a run notes the versions of an arm, so that nobody has to ask for them again."""
    return f"{ARM_TABLES}/{arm}/models.json"


def _noted(folder: RunFolder, arm: str) -> dict[str, dict[str, str]]:
    noted: dict[str, dict[str, str]] = json.loads(folder.read_text(_note(arm)) or "{}")
    return noted


def score_arms(
    context: RunContext, rules: DecisionRules, given: ModelInputs
) -> dict[str, pl.DataFrame]:
    """Score everybody with the models of the arms that have their own, and keep the tables.

    Parameters
    ----------
    context : RunContext
    rules : DecisionRules
        Of the day.
    given : ModelInputs
        What decisions read, for what is worth offering whom.

    Returns
    -------
    dict of str to DataFrame
        By `arms/ARM/TABLE`.
    """
    tables: dict[str, pl.DataFrame] = {}
    for arm in rules.variants:
        models = models_of_arm(context, rules, arm)
        if not models:
            continue
        scores = score_all(models, model_inputs(context), as_of=context.as_of)
        offered = offers(given, scores.affinity, as_of=context.as_of)
        for name, table in {**scores.items(), "offers": offered}.items():
            tables[f"{ARM_TABLES}/{arm}/{name}"] = table
    for name, table in tables.items():
        context.folder.write(name, table)
    return tables


def kept_arm_tables(
    folder: RunFolder, rules: DecisionRules, among: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    """Return what `score_arms` kept of a run, of some customers (`customer_id`) or of all."""
    return {
        f"{ARM_TABLES}/{arm}/{name}": table
        for arm in rules.variants
        if own_models(rules, arm)
        for name, table in folder.tables(f"{ARM_TABLES}/{arm}", among).items()
    }
