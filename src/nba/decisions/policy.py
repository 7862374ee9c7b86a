"""The contact policy and the levers, as marketers write them."""

from __future__ import annotations

from datetime import date, time
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nba.schema.words import CONTACT_MODES, Channel, Mode, ResponseKind


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Caps(_Part):
    """The most contacts of one customer, over all senders and modes."""

    per_day: int = Field(1, ge=0, le=5, description="contacts in a day; 0 stops all")
    per_week: int = Field(2, ge=0, le=7, description="contacts in any 7 days")
    per_month: int = Field(5, ge=0, le=31, description="contacts in any 30 days")


class CoolDown(_Part):
    """Days without a contact after one in a mode."""

    any_mode: int = Field(ge=0, le=90, description="before any contact")
    same_mode: int = Field(ge=0, le=365, description="before the next in this mode")


class Pause(_Part):
    """No contacts after responses that say no, and after silence."""

    negative_responses: int = Field(1, ge=1, description="so many complaints ...")
    within_days: int = Field(90, ge=1, description="... within so many days ...")
    days: int = Field(30, ge=0, description="... stop contacts for so many days")
    unanswered: int = Field(24, ge=1, description="so many contacts in a row without an answer ...")
    unanswered_days: int = Field(14, ge=0, description="... stop contacts for so many days")


class QuietHours(_Part):
    """No contact from `start` in the evening to `end` in the morning."""

    start: time = Field(time(21, 0), description="no contact from here")
    end: time = Field(time(9, 0), description="to here")

    @model_validator(mode="after")
    def _leaves_a_day(self) -> Self:
        if self.start <= self.end:
            raise ValueError("quiet hours must start after they end: they span the night")
        return self


class Limit(_Part):
    """A platform's limit, dated, since platforms change theirs."""

    name: str
    channels: tuple[Channel, ...]
    per_day: int | None = Field(None, ge=0)
    per_month: int | None = Field(None, ge=0)
    valid_from: date
    source: str


class Audience(_Part):
    """Limits of posts that reach many at once."""

    per_group_week: int = Field(2, ge=0, description="posts of a group in 7 days")
    moments_per_month: int = Field(8, ge=0, description="moments of a clerk in 30 days")


class Floor(_Part):
    """Minutes of a clerk's day that are kept for some action types, before what is worth most."""

    name: str = Field(min_length=1, description="what is owed, for people")
    action_types: tuple[str, ...] = Field(min_length=1, description="action types of the catalogue")
    minutes_share: float = Field(
        ge=0, le=1, description="share of a clerk's minutes kept for them, where customers need it"
    )
    duty: bool = Field(
        False, description="on: owed even where no extra margin is expected of the contact"
    )


class ContactPolicy(_Part):
    """How often, when and how soon again a customer may be contacted."""

    version: int = Field(1, ge=1, description="version of the file's format")
    caps: Caps = Field(default_factory=lambda: Caps())
    cool_down: dict[Mode, CoolDown] = Field(
        default_factory=lambda: {
            Mode.SHOPPING_ASSISTANT: CoolDown(any_mode=3, same_mode=5),
            Mode.TOPIC_EXPERT: CoolDown(any_mode=3, same_mode=5),
            Mode.PRIVATE_PARTNER: CoolDown(any_mode=3, same_mode=7),
        }
    )
    pause: Pause = Field(default_factory=lambda: Pause())
    same_content_days: int = Field(60, ge=0, description="before the same content again")
    same_product_days: int = Field(3, ge=0, description="before the same product again")
    uncounted_channels: tuple[Channel, ...] = Field(
        (),
        description="channels whose contacts the caps and cool-downs do not count; silence and "
        "the features of contacts never count `moments`",
    )
    quiet_hours: QuietHours = Field(default_factory=QuietHours)
    holidays: tuple[date, ...] = Field((), description="days without any contact")
    window_hours: float = Field(2.0, gt=0, le=12, description="width of a contact window")
    hour_shrinkage: float = Field(
        5.0, ge=0, description="responses that the customer's own hour must outweigh"
    )
    hysteresis: bool = Field(True, description="keep a customer's preferred mode against noise")
    handovers_per_90_days: int = Field(2, ge=0, description="times a customer changes clerk")
    audience: Audience = Field(default_factory=Audience)
    floors: tuple[Floor, ...] = Field(
        (), description="minutes kept for what is owed, in order; empty: worth alone decides"
    )
    platform_limits: tuple[Limit, ...] = ()

    @model_validator(mode="after")
    def _every_mode(self) -> Self:
        missing = [str(mode) for mode in CONTACT_MODES if mode not in self.cool_down]
        if missing:
            raise ValueError(f"cool_down lacks the modes {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _floors_fit(self) -> Self:
        total = sum(floor.minutes_share for floor in self.floors)
        if total > 1 + 1e-9:
            raise ValueError(f"the floors' shares of the minutes add up to {total:g}, more than 1")
        return self

    @property
    def negative_kinds(self) -> tuple[str, ...]:
        """The responses that count as a no, short of a block."""
        return (str(ResponseKind.COMPLAINED),)


class Levers(_Part):
    """The marketer's weights, in percent; they add: 1 + sum / 100.

    Notes
    -----
    The weights of the action (`lever` in the catalogue and `actions` here), of its group
    and of the issue (the mode) are summed first. A category's weight applies to actions
    that bring products of it.
    """

    version: int = Field(1, ge=1, description="version of the file's format")
    issues: dict[Mode, float] = Field(default_factory=dict, description="by mode")
    groups: dict[str, float] = Field(default_factory=dict, description="by action group")
    actions: dict[str, float] = Field(default_factory=dict, description="by action type")
    categories: dict[str, float] = Field(default_factory=dict, description="by category")
