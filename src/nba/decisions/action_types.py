"""The action catalogue: what a clerk can do for a customer."""

from __future__ import annotations

import string
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nba.features.expressions import ExpressionError, parse_expression
from nba.schema.words import CHAT_CHANNELS, Channel, Mode
from nba.validation import nearest


def _expression(text: str) -> str:
    try:
        parse_expression(text)
    except ExpressionError as error:
        raise ValueError(str(error)) from error
    return text


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, bool | int | float) else value


#: A rule over facts; numbers and booleans are rules too.
Rule = Annotated[str, BeforeValidator(_as_text), AfterValidator(_expression)]

#: What a talking point may name.
TEMPLATE_FIELDS = (
    "customer",
    "clerk",
    "store",
    "product",
    "category",
    "days",
    "date",
    "event",
    "title",
    "benefit",
    "birthday",
    "link",
)


class Text(BaseModel):
    """One text in both languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def of(self, language: str) -> str:
        """Return the text in `language` (`zh` or `en`)."""
        return self.zh if language == "zh" else self.en


def _known_fields(text: str) -> str:
    for _, name, _, _ in string.Formatter().parse(text):
        if name is not None and name not in TEMPLATE_FIELDS:
            hint = nearest(name, TEMPLATE_FIELDS)
            raise ValueError(f"unknown field {{{name}}}" + (f"; {hint}" if hint else ""))
    return text


#: A text with fields in braces, each of `TEMPLATE_FIELDS`.
TemplateText = Annotated[str, Field(min_length=1), AfterValidator(_known_fields)]


class Template(Text):
    """A text in both languages with fields in braces."""

    zh: TemplateText
    en: TemplateText


class Brings(StrEnum):
    """What an action brings to the customer."""

    REPEAT = "repeat"
    EXPLORE = "explore"
    NEW = "new"
    COMPLEMENT = "complement"
    RESTOCKED = "restocked"
    ANY_PRODUCT = "any_product"
    CONTENT = "content"
    EVENT = "event"
    BENEFIT = "benefit"
    GIFT = "gift"
    GROUP = "group"
    NOTHING = "nothing"


PRODUCT_KINDS = (
    Brings.REPEAT,
    Brings.EXPLORE,
    Brings.NEW,
    Brings.COMPLEMENT,
    Brings.RESTOCKED,
    Brings.ANY_PRODUCT,
)


class Fallback(BaseModel):
    """What reaches the customer where the clerk has not acted in time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_hours: float = Field(
        ge=0.5, le=72, description="hours from the beginning of the contact's window"
    )
    channel: Literal[Channel.SUBSCRIPTION, Channel.MINI_PROGRAM] = Field(
        description="`subscription`: the official account; `mini_program`: a service notice"
    )


class ActionType(BaseModel):
    """One entry of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action_type: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="its name")
    name: Text = Field(description="its name for people")
    group: str = Field("general", description="the lever group it belongs to")
    mode: Mode = Field(description="the interaction mode")
    channel: Channel = Field(description="the channel of the contact")
    minutes: float = Field(ge=0.5, le=240, description="clerk time of one contact")
    enabled: bool = Field(True, description="off: never planned")
    service: bool = Field(False, description="serves an open case; all others wait for it")
    profiling: bool = Field(
        True, description="off: rests on no profile and is open to who refused profiling"
    )
    eligible: Rule = Field("True", description="may we; beside consent, friendship and blocks")
    applicable: Rule = Field("True", description="does it make sense")
    suitable: Rule = Field("True", description="should we")
    brings: Brings = Field(Brings.NOTHING, description="what it brings")
    products: int = Field(
        1, ge=1, le=10, description="the most products that it brings; all serve one need"
    )
    needs: int = Field(
        1,
        ge=1,
        le=2,
        description="2: it may be about two due needs at once, with a product for each, where that "
        "is worth more than about one",
    )
    relevance: Rule = Field(
        "1", description="0 to 1: share of the effect on its need that such a contact has"
    )
    worth: Rule = Field("0", description="money that it earns beside the mode's uplift")
    risk_share: float = Field(1.0, ge=0, le=5, description="its risk against the mode's")
    lever: float = Field(0.0, ge=-100, le=500, description="the marketer's weight, in percent")
    wait_days: int = Field(14, ge=0, le=365, description="days before the same type again")
    expires_days: int = Field(1, ge=1, le=30, description="days after which it lapses")
    fallback: Fallback | None = Field(
        None, description="another channel where the clerk has not acted in time"
    )
    reasons: tuple[str, ...] = Field((), description="codes of the reasons shown first")
    caution: str = Field("one_message", description="code of the caution")
    talking_point: Template = Field(description="what the clerk can say")

    @property
    def needs_friend(self) -> bool:
        """Whether the channel reaches friends only."""
        return self.channel in CHAT_CHANNELS

    @property
    def rules(self) -> dict[str, str]:
        """Return the rules by the name of their field."""
        names = ("eligible", "applicable", "suitable", "relevance", "worth")
        return {name: getattr(self, name) for name in names}

    @model_validator(mode="after")
    def _is_a_contact(self) -> Self:
        if self.mode is Mode.NONE:
            raise ValueError("mode 'none' is no action; use one of the three contact modes")
        if not self.profiling and self.brings in PRODUCT_KINDS:
            raise ValueError("without profiling an action cannot bring personal products")
        return self


class Catalogue(BaseModel):
    """All action types.

    Notes
    -----
    The order of the file decides between action types of equal value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(1, ge=1, description="version of the file's format")
    actions: tuple[ActionType, ...] = Field(min_length=1, description="the action types")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [action.action_type for action in self.actions]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"action types named twice: {', '.join(repeated)}")
        return self

    def __getitem__(self, action_type: str) -> ActionType:
        return next(action for action in self.actions if action.action_type == action_type)

    @property
    def enabled(self) -> tuple[ActionType, ...]:
        """The action types that are switched on."""
        return tuple(action for action in self.actions if action.enabled)

    def rules(self) -> Iterator[tuple[int, str, str]]:
        """Yield (position, field, rule) for each rule of each action."""
        for position, action in enumerate(self.actions):
            for field, rule in action.rules.items():
                yield position, field, rule
