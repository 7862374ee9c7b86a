"""The file of a test: which arms it has, and what each one changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nba.decisions.policy import ContactPolicy
from nba.decisions.rules import DecisionRules
from nba.errors import InputRefusedError, ModelError, NotFoundError, UsageError
from nba.jobs.impact.live_record import ArmRecord
from nba.pipeline.arms import ArmChange, with_arms_of_test
from nba.pipeline.train import MODELS
from nba.schema.words import SIMPLE_ARMS, DrawUnit
from nba.validation import validation_problems
from nba.wiring import Wiring

CHALLENGER: Final = "challenger"
#: The files that an arm may change: by the word in a test's file, the name in `serving/`.
FILES: Final[Mapping[str, str]] = MappingProxyType(
    {"catalogue": "actions", "policy": "contact_policy", "levers": "levers", "texts": "texts"}
)
#: Parts of the contact policy that hold for everybody, whatever the arm.
SHARED: Final = ("audience", "handovers_per_90_days")
_LISTS: Final = tuple(str(arm) for arm in SIMPLE_ARMS)


class ArmSpec(BaseModel):
    """An arm as a marketer writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(gt=0, lt=1, description="share of the customers")
    catalogue: Path | None = Field(None, description="a file in place of serving/actions.yaml")
    policy: Path | None = Field(None, description="in place of serving/contact_policy.yaml")
    levers: Path | None = Field(None, description="in place of serving/levers.yaml")
    texts: Path | None = Field(None, description="in place of serving/texts.yaml")
    models: Mapping[str, str | int] = Field(
        default_factory=dict,
        description="by model: a version's number, or `challenger`, in place of the champion",
    )

    @property
    def files(self) -> dict[str, Path]:
        """The files given, by the name of what they replace."""
        given = {name: getattr(self, word) for word, name in FILES.items()}
        return {name: path for name, path in given.items() if path is not None}


class LiveSpec(BaseModel):
    """A test's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: Mapping[str, ArmSpec] = Field(min_length=1, description="by name")
    unit: DrawUnit = Field(
        DrawUnit.CUSTOMER, description="who draws an arm: customer, clerk, store or group"
    )


def read_live_spec(path: Path) -> LiveSpec:
    """Read a test's file.

    Raises
    ------
    UsageError
        When it cannot be read.
    ConfigError
        With every field that is wrong.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path} cannot be read", expected="a YAML file with `arms`", found=str(error)
        ) from error
    try:
        return LiveSpec.model_validate(content)
    except ValidationError as error:
        raise validation_problems(
            f"{path}: the test's file is wrong", error, LiveSpec, page="docs/live-tests.md"
        ) from error


def arms_of_spec(wiring: Wiring, path: Path) -> dict[str, ArmRecord]:
    """Return the arms of a test's file, each with what it changes, checked as a night would use it.

    Parameters
    ----------
    wiring : Wiring
    path : Path
        The files that it names stand beside it, or at absolute places.

    Raises
    ------
    UsageError
        For an arm that changes nothing or cannot be combined with what it changes.
    InputRefusedError
        With every problem of an arm's files.
    NotFoundError
        When there is no such version of a model.
    ModelError
        When this version of nba cannot read it.
    """
    spec = read_live_spec(path)
    records = {name: _record(wiring, name, arm, path.parent) for name, arm in spec.arms.items()}
    check_arms(wiring, {name: arm for name, arm in records.items() if arm.changes})
    return records


def _record(wiring: Wiring, name: str, arm: ArmSpec, beside: Path) -> ArmRecord:
    if name in _LISTS:
        if arm.files or arm.models:
            raise UsageError(
                f"the arm {name} is a simple list, which has rules of its own",
                expected="a share alone, or another name for the arm",
                found=", ".join([*arm.files, *arm.models]),
            )
        return ArmRecord(share=arm.share)
    if not arm.files and not arm.models:
        raise UsageError(
            f"the arm {name} changes nothing",
            expected=f"one of {', '.join([*FILES, 'models'])}; or a simple list: "
            f"{', '.join(_LISTS)}",
        )
    files = {}
    for what, place in arm.files.items():
        file = beside / place
        try:
            files[what] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} cannot be read", found=str(error)) from error
    models = {model: _version(wiring, model, str(number)) for model, number in arm.models.items()}
    return ArmRecord(share=arm.share, files=files, models=models)


def _version(wiring: Wiring, model: str, number: str) -> str:
    """Return the number of a version."""
    if model not in MODELS:
        raise UsageError(f"there is no model {model!r}", expected=", ".join(MODELS), found=model)
    if number != CHALLENGER:
        return number
    challenger = wiring.registry.challenger(model)
    if challenger is None:
        raise NotFoundError(
            f"there is no challenger of {model}",
            expected="a version that was not promoted",
            next_step="`nba experiment models` lists the versions",
        )
    return challenger.version


def check_arms(wiring: Wiring, arms: Mapping[str, ArmRecord]) -> None:
    """Refuse arms of own rules by which no night could plan, or that could not be compared.

    Raises
    ------
    UsageError
        When an arm would plan for other people, changes what holds for everybody, or nothing.
    InputRefusedError, NotFoundError, ModelError
        See `arms_of_spec`.
    """
    champions = {
        name: found.version for name in MODELS if (found := wiring.registry.champion(name))
    }
    _check_partitions(wiring, arms)
    for name, arm in arms.items():
        for model, number in arm.models.items():
            wiring.registry.load(wiring.registry.version(model, number))
            if champions.get(model) == number:
                raise UsageError(
                    f"the arm {name} changes nothing: version {number} of {model} is the champion",
                    expected="another version",
                    next_step="`nba experiment models` lists them",
                )
    rules = wiring.decision_rules("")
    changed = {name: ArmChange(arm.share, arm.files) for name, arm in arms.items() if arm.files}
    for name, own in with_arms_of_test(wiring, rules, changed).variants.items():
        _check_rules(name, rules, own)


def _check_partitions(wiring: Wiring, arms: Mapping[str, ArmRecord]) -> None:
    """Refuse arms with models where a night is planned in parts: their scores are of the whole."""
    with_models = [name for name, arm in arms.items() if arm.models]
    if with_models and wiring.settings.partitions > 1:
        raise UsageError(
            f"the arm {with_models[0]} has a model of its own",
            expected="`partitions: 1` in nba.yaml: its scores are of the whole shop",
            found=f"{wiring.settings.partitions} partitions",
        )


def _check_rules(name: str, rules: DecisionRules, own: DecisionRules) -> None:
    parts = ("catalogue", "policy", "levers", "texts")
    if all(getattr(rules, part) == getattr(own, part) for part in parts):
        raise UsageError(
            f"the arm {name} changes nothing: its files say what those in serving/ say",
            expected="a file with at least one change",
        )
    if rules.friends_only != own.friends_only:
        raise UsageError(
            f"the arm {name} would plan for other people than the project's catalogue",
            expected="catalogues that both reach friends alone, or both reach others too, since "
            "arms are compared among the same people",
            next_step="switch on the same actions for who is no friend (`eligible`) in both",
        )
    shared = [part for part in SHARED if _of(rules.policy, part) != _of(own.policy, part)]
    if shared:
        raise UsageError(
            f"the arm {name} changes what holds for everybody",
            expected="posts and handovers as in serving/contact_policy.yaml: they are not by arm",
            found=", ".join(shared),
        )


def _of(policy: ContactPolicy, part: str) -> object:
    return getattr(policy, part)


def broken(wiring: Wiring, arms: Mapping[str, ArmRecord]) -> str:
    """Return why no night can plan by these arms any more; empty: they can."""
    try:
        _check_partitions(wiring, arms)
        for arm in arms.values():
            for model, number in arm.models.items():
                wiring.registry.load(wiring.registry.version(model, number))
        rules = wiring.decision_rules("")
        with_arms_of_test(
            wiring, rules, {name: ArmChange(arm.share, arm.files) for name, arm in arms.items()}
        )
    except (InputRefusedError, ModelError, NotFoundError, UsageError) as error:
        return " ".join(str(error).split())
    return ""
