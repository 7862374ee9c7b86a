"""What the service stands on: the operational store, the ports, the clock, the access rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from nba.data.moments import at
from nba.decisions.action_types import Catalogue
from nba.decisions.names import Texts
from nba.errors import InputRefusedError
from nba.schema.defaults import MARGIN_RATE
from nba.schema.zones import zone_or
from nba.serving.answers import Answers
from nba.serving.cards import CustomerCards
from nba.serving.freshness import FreshFeatures
from nba.serving.rate_limits import Limiter
from nba.serving.shapes import ProductScore
from nba.serving.sidebar import SidebarTokens
from nba.serving.sign_in import SignIn
from nba.settings import ClerkPage
from nba.stores.book_rows import BookRows
from nba.stores.books import Today
from nba.stores.operational import OperationalStore, utc_now


class Access(StrEnum):
    """How callers are known: by API keys, or not at all (loopback only, for a demo)."""

    KEYS = "keys"
    OPEN = "open"


class LiveScores(Protocol):
    """One customer rescored now; None while that is not possible."""

    def actions(self, customer_id: str) -> Sequence[Mapping[str, Any]] | None:
        """Return the next best actions, best first, as rows of the plan's action columns."""

    def knows_today(self, customer_id: str) -> bool:
        """Return whether it scores by what was heard of the customer since the night."""

    def why(self, customer_id: str) -> Sequence[Mapping[str, Any]] | None:
        """Return every action type: how far it came, why no further, and until when."""

    def products(self, customer_id: str) -> Sequence[ProductScore] | None:
        """Return ranked products."""


#: From changes to the policy files to the difference to the current plan; leaves no trace.
PlanPreview = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Services:
    """Everything that routes may ask.

    Parameters
    ----------
    store : OperationalStore
    cards : CustomerCards
    access : Access
        `OPEN` serves everything to anyone on the same machine, and nothing to others.
    time_zone : str
        The project's; naive moments in requests stand in it, answers carry its offset.
    clock : callable
        Returns the present moment, aware.
    catalogue : Catalogue or None
        Names of action types, and which of them rest on no profile.
    live : LiveScores or None
        Rescores one customer; without it, answers come from the published plan.
    preview : PlanPreview or None
        Without it the service has no preview.
    on_change : callable or None
        Told after something was committed that may change lists.
    places : sequence of str
        Folders of the server; answers do not name them.
    page : Path or None
        Folder of the clerk page, served at `/`.
    answers : Answers
        What was serialised already.
    clerk_page : ClerkPage
        What the page shows, and where it may be embedded.
    currency : str
        The project's.
    texts : Texts
        Names of codes.
    tag_names : mapping of str to mapping of str to str
        Names of the tags by rule, by tag and language.
    books : BookRows or None
        Whole books: posts, results, hand-overs; none of these without it.
    margin_rate : float
        Of goods whose cost is not known.
    sign_in : SignIn or None
        Tokens of an issuer beside API keys.
    limiter : Limiter or None
        How many requests a key and an address may make.
    sidebar : SidebarTokens or None
        Makes tokens for a sidebar of the chat app; none without it.
    fresh : FreshFeatures or None
        Computes features during the day; without it they are last night's.
    lock : Path or None
        The file by which one of several processes is chosen to do so.
    leave_seconds : float
        For so long the file is left to a process that is there for it alone.
    definitions : str
        Differs with the settings and the version that answers are made with.
    answers_at_once : bool
        Whether what lies ready is read from files of this machine, without a wait.
    """

    store: OperationalStore
    cards: CustomerCards
    access: Access = Access.KEYS
    time_zone: str = "Asia/Shanghai"
    clock: Callable[[], datetime] = utc_now
    catalogue: Catalogue | None = None
    live: LiveScores | None = None
    preview: PlanPreview | None = None
    on_change: Callable[[], None] | None = None
    places: Sequence[str] = ()
    page: Path | None = None
    answers: Answers = field(default_factory=Answers)
    clerk_page: ClerkPage = field(default_factory=ClerkPage)
    currency: str = "CNY"
    texts: Texts = field(default_factory=Texts)
    tag_names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    books: BookRows | None = None
    margin_rate: float = MARGIN_RATE
    sign_in: SignIn | None = None
    limiter: Limiter | None = None
    sidebar: SidebarTokens | None = None
    fresh: FreshFeatures | None = None
    lock: Path | None = None
    leave_seconds: float = 0.0
    definitions: str = ""
    answers_at_once: bool = False

    @property
    def unprofiled(self) -> tuple[str, ...]:
        """The action types that rest on no profile."""
        actions = self.catalogue.actions if self.catalogue else ()
        return tuple(action.action_type for action in actions if not action.profiling)

    @property
    def serving_types(self) -> tuple[str, ...]:
        """The action types that serve and do not sell."""
        actions = self.catalogue.actions if self.catalogue else ()
        return tuple(action.action_type for action in actions if action.service)

    def clerks_of(self, store_id: str) -> list[str]:
        """Return the clerks of a store."""
        return [one.clerk_id for one in self.cards.clerks() if one.store_id == store_id]

    def today(self, as_of: date) -> Today:
        """Return the present moment of a plan's day, as books are settled in it."""
        now = self.clock()
        local = now.astimezone(self.zone).replace(tzinfo=None)
        return Today(self.day_begins(as_of), now, local, self.unprofiled, self.serving_types)

    def changed(self) -> None:
        """Say that something was committed that may change lists."""
        if self.on_change is not None:
            self.on_change()

    @property
    def zone(self) -> ZoneInfo:
        """The project's time zone."""
        return ZoneInfo(self.time_zone)

    def day_begins(self, day: date) -> datetime:
        """Return the moment at which a day begins in the project's time zone, in UTC."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def aware(self, moment: datetime) -> datetime:
        """Return a moment in UTC; a naive one stands in the project's time zone."""
        try:
            found = at(moment, self.zone).value if moment.tzinfo is None else moment.astimezone(UTC)
            found.astimezone(self.zone)  # what an answer says must stand on a calendar too
            return found
        except OverflowError:
            raise InputRefusedError(
                "no clock stands there",
                expected="a moment of our age",
                found=moment.isoformat(),
                next_step="check the client's clock",
            ) from None

    def local(self, moment: datetime) -> datetime:
        """Return a moment with the offset of the project's time zone."""
        return self.aware(moment).astimezone(self.zone)

    def zone_of_clerk(self, clerk_id: str | None) -> ZoneInfo:
        """Return the time zone of a clerk's store, where it has one of its own."""
        clerk = self.cards.clerk(clerk_id) if clerk_id is not None else None
        return zone_or(clerk.timezone if clerk else None, self.zone)

    def age_days(self, day: date, zone: ZoneInfo | None = None) -> int:
        """Return how many days ago `day` was, by the calendar of a zone (the project's)."""
        return (self.clock().astimezone(zone or self.zone).date() - day).days
