"""Make a plan and its header; what a plan stands on is kept beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from nba.decisions.archive import DecisionRules
from nba.decisions.audience import decide_audiences
from nba.decisions.decide import decide
from nba.decisions.outlook import outlook
from nba.jobs.files import write_atomically, write_parquet
from nba.jobs.manifest import Manifest
from nba.models.affinity.offers import offers
from nba.models.base import ModelInputs
from nba.pipeline.consents import with_consents
from nba.wiring import Wiring

if TYPE_CHECKING:
    from nba.decisions.plan import Plan
    from nba.jobs.nightly import Night

#: Days of contacts and responses that the contact policy looks back on.
POLICY_DAYS: Final = 92
INPUTS: Final = "inputs"
RULES: Final = "rules.json"
#: The tables of a plan that are kept, each as a Parquet file.
PLAN_TABLES: Final = ("log", "actions", "clerks", "preferred_mode", "handovers")
#: Tables made beside the plan: posts of groups and moments, whom they reach, the days ahead.
POSTS: Final = "posts"
POST_MEMBERS: Final = "post_members"
OUTLOOK: Final = "outlook"
_WHOLE = ("content", "events", "benefits", "service_cases", "groups", "memberships", "friendships")
_RECENT = ("interactions", "responses")


def decision_tables(wiring: Wiring, as_of: datetime) -> dict[str, pl.DataFrame]:
    """Return the lake's tables that decisions read, contacts confined to the recent ones."""
    tables = wiring.tables(as_of)
    frames = {name: wiring.collect(tables[name]) for name in _WHOLE}
    since = as_of - timedelta(days=POLICY_DAYS)
    for name in _RECENT:
        frames[name] = wiring.collect(tables[name].filter(tables[name].ts >= since))
    frames["quota"] = wiring.plan_store.quota_frame(as_of.date())
    return frames


def make_plan(night: Night) -> Plan:
    """Decide for every eligible customer at the night's `as_of`, and keep what it stood on.

    Feature snapshots and scores are kept by their own steps; what comes from the lake, the
    quota ledger and the plan before is written beside the plan, so that it can be replayed, and
    so is which content and events meet each customer's tags, lists and store.
    The plan's tables are written too, and beside them the posts of groups and moments and the
    days ahead.
    """
    wiring = night.wiring
    kept = {
        **decision_tables(wiring, night.as_of),
        "preferred_mode": preferred_modes(wiring, night.as_of),
        "customer_state": consented_state(night),
    }
    given = ModelInputs({**night.frames, **kept})
    kept["offers"] = offers(given, night.scores().affinity, as_of=night.as_of)
    for name, table in kept.items():
        write_parquet(table, night.folder / INPUTS / f"{name}.parquet")
    rules = current_rules(wiring, night.manifest)
    write_atomically(night.folder / RULES, rules.model_dump_json())
    inputs = {**night.frames, **night.scores().items(), **kept}
    plan = decide_by(rules, inputs, night.as_of)
    tables = {name: getattr(plan, name) for name in PLAN_TABLES}
    for name, table in {**tables, **_beside(plan, rules, inputs, night.as_of)}.items():
        write_parquet(table, night.folder / "plan" / f"{name}.parquet")
    return plan


def _beside(
    plan: Plan, rules: DecisionRules, inputs: Mapping[str, pl.DataFrame], as_of: datetime
) -> dict[str, pl.DataFrame]:
    """Return the day's posts, whom they reach, and the best day of each customer ahead."""
    audiences = decide_audiences(
        inputs, rules.policy, as_of=as_of, settings=rules.settings, clerks=plan.clerks
    )
    ahead = outlook(inputs, rules.catalogue, rules.policy, as_of=as_of, settings=rules.settings)
    return {POSTS: audiences.posts, POST_MEMBERS: audiences.members, OUTLOOK: ahead}


def current_rules(wiring: Wiring, manifest: Manifest) -> DecisionRules:
    """Return the rules as the files and settings stand now, for the models of a night."""
    files = wiring.decision_files
    return DecisionRules(
        catalogue=files.catalogue,
        policy=files.policy,
        levers=files.levers,
        settings=wiring.decision_settings,
        policy_version=files.version,
        model_versions=model_versions_text(manifest),
    )


def decide_by(rules: DecisionRules, inputs: Mapping[str, pl.DataFrame], as_of: datetime) -> Plan:
    """Decide under the given rules."""
    return decide(
        inputs,
        rules.catalogue,
        rules.policy,
        rules.levers,
        as_of=as_of,
        settings=rules.settings,
        policy_version=rules.policy_version,
        model_versions=rules.model_versions,
    )


def consented_state(night: Night) -> pl.DataFrame:
    """Return the state of customers who were not erased, with what they said over the API."""
    wiring = night.wiring
    state = night.frames["customer_state"]
    erased = wiring.plan_store.erased_among(state["customer_id"].to_list())
    state = state.filter(~pl.col("customer_id").is_in(sorted(erased)))
    customers = wiring.tables(night.as_of)["customers"].select("customer_id", "consent_at")
    consents = wiring.plan_store.consents().with_columns(
        pl.col("consent_at")
        .dt.convert_time_zone(wiring.settings.time_zone)
        .dt.replace_time_zone(None)
    )
    return with_consents(state, wiring.collect(customers), consents, night.as_of)


def model_versions(manifest: Manifest) -> dict[str, str]:
    """Return the version of each model that served a night."""
    noted = manifest.steps["train"]["versions"]
    return {name: str(noted[name]["version"]) for name in sorted(noted)}


def model_versions_text(manifest: Manifest) -> str:
    """Return the model versions as one text, as it stands in the export."""
    return ",".join(f"{name}:{version}" for name, version in model_versions(manifest).items())


def preferred_modes(wiring: Wiring, as_of: datetime) -> pl.DataFrame:
    """Return each customer's preferred mode as the latest plan before `as_of` left it."""
    day = as_of.date().isoformat()
    kept = sorted(wiring.project.data.glob("runs/*/plan/preferred_mode.parquet"))
    before = [path for path in kept if path.parent.parent.name < day]
    return pl.read_parquet(before[-1]) if before else pl.DataFrame()


def plan_header(night: Night) -> dict[str, Any]:
    """Return the header under which the night's plan is published."""
    steps = night.manifest.steps
    actions = (night.folder / "plan" / "actions.parquet").read_bytes()
    return {
        "as_of": night.as_of.date(),
        "policy_version": steps["plan"]["policy_version"],
        "model_versions": model_versions(night.manifest),
        "counts": {"eligible": steps["plan"]["eligible"], "actions": steps["plan"]["actions"]},
        "digest": hashlib.sha256(actions).hexdigest(),
        "inputs": night.manifest.inputs,
    }
