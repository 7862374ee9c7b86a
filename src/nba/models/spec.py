"""`models/NAME.yaml`: which model answers, on what, how often it is trained, and its gates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nba.settings import read_yaml
from nba.validation import validation_problems

FORBID = ConfigDict(frozen=True, extra="forbid")


class Gate(BaseModel):
    """A condition that a new fit must meet before it becomes the champion.

    Exactly one of `at_least`, `at_most` and `margin` is given.
    """

    model_config = FORBID

    metric: Annotated[str, Field(description="name of a metric of the model's report")]
    at_least: Annotated[float | None, Field(description="lowest value that passes")] = None
    at_most: Annotated[float | None, Field(description="highest value that passes")] = None
    margin: Annotated[
        float | None,
        Field(description="how much better than the baseline; negative allows a loss"),
    ] = None
    baseline: Annotated[str | None, Field(description="the baseline that `margin` is over")] = None

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        given = [c for c in (self.at_least, self.at_most, self.margin) if c is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of at_least, at_most, margin")
        if (self.margin is None) != (self.baseline is None):
            raise ValueError("margin and baseline belong together")
        return self


class ModelSpec(BaseModel):
    """The file `models/NAME.yaml`."""

    model_config = FORBID

    name: Annotated[Literal["timing", "affinity", "mode"], Field(description="what it answers")]
    kind: Annotated[str, Field(description="how it answers: the model class")]
    feature_service: Annotated[str, Field(description="the feature service it reads")]
    window_days: Annotated[int, Field(ge=1, description="days of history it is trained on")]
    retrain_every_days: Annotated[int, Field(ge=1, description="days between two fits")]
    parameters: Annotated[
        dict[str, Any], Field(description="the model's parameters, see its card")
    ] = {}
    gates: Annotated[tuple[Gate, ...], Field(description="all must hold for promotion")] = ()


def read_spec(path: Path) -> ModelSpec:
    """Read and check `models/NAME.yaml`.

    Raises
    ------
    ConfigError
        When the file is missing, is no YAML, or has wrong fields; all problems at once.
    """
    try:
        return ModelSpec.model_validate(read_yaml(path))
    except ValidationError as error:
        raise validation_problems(
            f"{path}: wrong model file", error, ModelSpec, page="docs/own-models.md"
        ) from error
