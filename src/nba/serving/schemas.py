"""Shapes of requests and answers that are not the engine's own."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.json_schema import SkipJsonSchema

from nba.schema.words import Channel, FeedbackKind, Mode
from nba.serving.errors import Problem, invalid
from nba.serving.rows import RowOf
from nba.serving.shapes import (
    BookEntry,
    Clerk,
    CustomerCard,
    OfferFacts,
    Person,
    ProductFacts,
    ProductScore,
    TagFact,
)
from nba.stores.nightly_runs import NightlyRunState

#: An id: text without control characters; leading zeros count.
Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Note = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
MAX_BATCH = 1000
_BEGINS_AS_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}")


def _written(value: Any) -> Any:
    """Refuse numbers, which a moment might be counted in seconds or in milliseconds by."""
    if isinstance(value, datetime) or (
        isinstance(value, str) and _BEGINS_AS_MOMENT.match(value.strip())
    ):
        return value
    raise ValueError("an ISO 8601 timestamp as text")


#: A moment of a request; without an offset it stands in the project's zone.
Moment = Annotated[datetime, BeforeValidator(_written)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reason(BaseModel):
    """One thing that a clerk can say or should mind, in both languages."""

    code: str
    kind: str = Field("reason", description="reason, caution, or change: what would change it")
    zh: str
    en: str


class Product(ProductFacts):
    """A product that an action brings."""

    product_id: str


class Offer(OfferFacts):
    """Content or an event that an action brings."""

    offer_id: str


class Name(BaseModel):
    """A name for people, in both languages."""

    zh: str
    en: str


class ListedAction(BaseModel):
    """One action of a clerk's list."""

    action_id: str
    as_of: date
    clerk_id: str | None
    rank: int | None
    customer_id: str
    person: Person
    mode: Mode
    action_type: str | None
    action_name: Name | None
    channel: Channel | None
    products: list[Product]
    content_id: str | None
    offer: Offer | None
    contact_from: AwareDatetime | None
    contact_to: AwareDatetime | None
    minutes: float | None
    value: float | None = Field(
        description="Expected gain, in the project's currency; null where a simple list scores by "
        "something else, and without profiling."
    )
    uplift: float | None
    p_repurchase_30d: float | None
    reasons: list[Reason]
    talking_point: str | None
    expires_at: AwareDatetime | None
    expired: bool
    status: str = Field(description="new, or the clerk's latest feedback")


class Age(BaseModel):
    """Whether what is shown is of today."""

    stale: bool = Field(description="True: this is of another day than today.")
    age_days: int = Field(description="How many days ago its day was; below 0: a coming day.")


class PlanHeader(Age):
    """What stands: the published plan."""

    as_of: date
    policy_version: str
    model_versions: dict[str, Any] | None
    counts: dict[str, Any] | None
    digest: str
    published_at: AwareDatetime


class ClosedAction(BaseModel):
    """An action of the day that was done, skipped or set aside."""

    action_id: str
    customer_id: str
    person: Person
    action_name: Name | None
    mode: Mode
    minutes: float | None
    kind: FeedbackKind
    reason: str | None
    ts: AwareDatetime
    until: AwareDatetime | None = Field(description="Of `snoozed`: when it comes back.")


class ActionList(Age):
    """A page of a clerk's list."""

    as_of: date
    clerk_id: str
    version: str = Field(
        description="Grows with the list; give it to `…/changes` to learn what came and went."
    )
    published_at: AwareDatetime
    actions: list[ListedAction]
    closed: list[ClosedAction] = Field(
        description="What the clerk has dealt with today, newest first; on the first page only."
    )
    next_cursor: str | None = Field(description="Give it back for the next page; null at the end.")
    now: AwareDatetime = Field(description="The service's clock, for the `ts` of feedback.")


class RemovedAction(BaseModel):
    """An action that left the list."""

    action_id: str
    reason: str = Field(
        description="The feedback that closed it (`sent`, `skipped`, …), or `bought`, `contacted`, "
        "`sold_out`, `blocked`, `ended`, `complained`, `opted_out`, `absent`, `handed_over`, "
        "`gone`."
    )


class AddedAction(ListedAction):
    """An action that came onto the list."""

    reason: str = Field(
        description="`replacement` took a free place, `substitute` came from a colleague who is "
        "away, `back` is true again."
    )


class ListChanges(BaseModel):
    """What came and went since a version of a list."""

    clerk_id: str
    since: str
    version: str
    now: AwareDatetime
    added: list[AddedAction]
    removed: list[RemovedAction]


class ListedClerk(Clerk):
    """A clerk and the length of their list."""

    planned: int = Field(0, description="Actions that the newest plan holds for the clerk.")


class PageSettings(BaseModel):
    """What the clerk page is to show."""

    currency: str
    show_value: bool = Field(description="Whether clerks see expected gains in money.")


class ClerkList(BaseModel):
    """Clerks whose lists the caller may see."""

    clerks: list[ListedClerk]
    own: str | None = Field(description="The clerk whose key this is; null: nobody's own.")
    leads: bool = Field(description="Whether the caller sees a store or all of them.")
    is_open: bool = Field(description="Open access: everybody may act as anybody.")
    page: PageSettings


class NameList(BaseModel):
    """Names of codes for people."""

    categories: dict[str, Name]
    tags: dict[str, Name]
    actions: dict[str, Name]


class FoundCustomer(BookEntry):
    """A customer of the book, with today's action if the list holds one."""

    action_id: str | None = None


class FoundCustomers(BaseModel):
    """Customers of a clerk's book that meet a search, best first."""

    clerk_id: str
    customers: list[FoundCustomer]
    total: int = Field(description="How many met the search.")


class FeedbackBody(_Request):
    """What became of one action."""

    feedback_id: Id = Field(description="Chosen by the client; the same again changes nothing.")
    kind: FeedbackKind
    ts: Moment = Field(description="ISO 8601; without offset it stands in the project's zone.")
    clerk_id: Id | None = Field(None, description="Who did it; by default the action's clerk.")
    reason: Note | None = None
    position: int | None = Field(None, ge=0, le=1_000_000, description="Where it was shown.")
    until: Moment | None = Field(
        None,
        description="Of `snoozed` alone: when the action comes back; by default the next day.",
    )


class FeedbackItem(FeedbackBody):
    """What became of one of many actions."""

    action_id: Id


class PostFeedback(_Request):
    """What became of a post."""

    feedback_id: Id = Field(description="Chosen by the client; the same again changes nothing.")
    kind: FeedbackKind = Field(description="sent or skipped.")
    ts: Moment = Field(description="ISO 8601; without offset it stands in the project's zone.")
    reason: Note | None = None


class Post(BaseModel):
    """Something to post to a group or to moments."""

    audience: str
    topic: str | None = Field(description="Of the group.")
    channel: Channel
    mode: Mode
    offer: Offer | None
    members: int = Field(description="Whom it is expected to reach.")
    minutes: float
    contact_from: AwareDatetime | None = Field(description="When most of them read, from here")
    contact_to: AwareDatetime | None = Field(description="to here.")
    status: str = Field(description="new, sent or skipped")


class PostList(BaseModel):
    """A clerk's posts of the plan's day."""

    clerk_id: str
    as_of: date
    posts: list[Post]


class Increment(BaseModel):
    """What contacts brought, against customers left alone: never without its interval."""

    amount: float
    low: float
    high: float
    customers: int
    left_alone: int


class Results(BaseModel):
    """A clerk's own month."""

    clerk_id: str
    month: str
    listed: int
    sent: int
    skipped: int
    contacts: int
    answered: int
    cases_closed: int
    increment: Increment | None = Field(description="null: too few were left alone to tell.")


class Coaching(BaseModel):
    """Where help is welcome."""

    kind: Literal["late_cases", "many_skips", "low_adoption"]
    count: int | None = None
    share: float | None = None
    reason: str | None = None


class TeamMember(BaseModel):
    """A clerk as the store manager sees them: nobody is ranked by sales."""

    clerk_id: str
    name: str | None
    works_today: bool
    absent: list[date] = Field(description="Days of the coming week.")
    substitute: str | None = Field(description="Who serves most of their customers today.")
    planned: int
    planned_minutes: float
    minutes_per_day: float | None
    listed: int = Field(description="In the past 14 days.")
    sent: int
    answered: int
    contacts: int
    margin: float | None = Field(description="This month, of the clerk's book.")
    expected_margin: float | None = Field(description="What was expected of that book.")
    coaching: list[Coaching]


class Handover(BaseModel):
    """A proposal to give a customer to another clerk."""

    customer_id: str
    person: Person
    from_clerk_id: str | None
    to_clerk_id: str
    reason: str
    accepted: bool


class Team(BaseModel):
    """A store's clerks and the hand-overs that wait."""

    as_of: date
    clerks: list[TeamMember]
    handovers: list[Handover]


class HandoverBody(_Request):
    """To whom a customer is given."""

    to_clerk_id: Id


class WrongItem(BaseModel):
    """One item of a batch that breaks its shape: it is refused, and the others are not."""

    problem: Problem


def _by_itself(value: Any, _: ValidatorFunctionWrapHandler) -> FeedbackItem | WrongItem:
    try:
        return FeedbackItem.model_validate(value)
    except ValidationError as error:
        return WrongItem(problem=invalid(error.errors()))


class FeedbackBatch(_Request):
    """Feedback on many actions; each is accepted or refused by itself."""

    feedback: list[
        Annotated[FeedbackItem | SkipJsonSchema[WrongItem], WrapValidator(_by_itself)]
    ] = Field(min_length=1, max_length=MAX_BATCH)


class FeedbackReceipt(BaseModel):
    """That feedback is kept."""

    feedback_id: str
    action_id: str
    status: Literal["accepted", "repeated"]


class RowResult(BaseModel):
    """What became of one row of a batch."""

    table: str
    index: int
    status: Literal["accepted", "repeated", "refused"]
    problem: Problem | None = None
    notes: list[str] = Field(
        default_factory=list, description="How an accepted row was read where that is not plain."
    )


class BatchResult(BaseModel):
    """What became of a batch: each row by itself."""

    accepted: int
    repeated: int
    refused: int
    rows: list[RowResult]


class EventBatch(_Request):
    """Rows of the contract's tables; each is accepted or refused by itself."""

    transactions: list[Annotated[Any, RowOf("transactions")]] = Field(
        default_factory=list, max_length=MAX_BATCH
    )
    interactions: list[Annotated[Any, RowOf("interactions")]] = Field(
        default_factory=list, max_length=MAX_BATCH
    )
    responses: list[Annotated[Any, RowOf("responses")]] = Field(
        default_factory=list, max_length=MAX_BATCH
    )
    service_cases: list[Annotated[Any, RowOf("service_cases")]] = Field(
        default_factory=list, max_length=MAX_BATCH
    )
    friendships: list[Annotated[Any, RowOf("friendships")]] = Field(
        default_factory=list, max_length=MAX_BATCH
    )
    absences: list[Annotated[Any, RowOf("absences")]] = Field(
        default_factory=list, max_length=MAX_BATCH
    )
    stock: list[Annotated[Any, RowOf("stock")]] = Field(default_factory=list, max_length=MAX_BATCH)
    behaviour: list[Annotated[Any, RowOf("behaviour")]] = Field(
        default_factory=list, max_length=MAX_BATCH
    )


class News(BaseModel):
    """Something accepted since the plan's day began."""

    table: str
    ts: AwareDatetime
    kind: str | None = None


class LiveCard(CustomerCard):
    """A customer's card with what came in since last night."""

    news: list[News] = Field(default_factory=list)


class KnownCustomer(BaseModel):
    """Whom an id of the chat platform names."""

    customer_id: str


class SidebarBody(_Request):
    """Whose card a sidebar of the chat app shall show."""

    external_id: Id = Field(description="The chat platform's id of the customer.")


class SidebarToken(BaseModel):
    """A token that shows one customer's card, for a short time."""

    token: str = Field(description="Goes into the header `Authorization: Bearer TOKEN`.")
    customer_id: str
    expires_at: datetime
    path: str = Field(description="Of the clerk's page on this service, for the frame.")


class TagBody(_Request):
    """A tag's value and how long it stands."""

    value: Note | None = None
    expires_at: Moment | None = None


class TagList(BaseModel):
    """Tags that stand."""

    customer_id: str
    tags: list[TagFact]


class ConsentBody(_Request):
    """What a customer allows."""

    consent_contact: bool
    consent_profiling: bool
    consent_at: Moment = Field(description="When the customer said so; the latest wins.")


class ConsentState(BaseModel):
    """The consent that stands."""

    customer_id: str
    consent_contact: bool
    consent_profiling: bool
    consent_at: AwareDatetime


class ErasureReceipt(BaseModel):
    """Proof of an erasure."""

    receipt_id: str
    erased_at: AwareDatetime
    completed_at: AwareDatetime | None = Field(
        description="When everything that is kept had followed; null until then."
    )
    counts: dict[str, int] = Field(
        description="What went: rows by table of the store, rows and files by place elsewhere."
    )
    requested_by: str | None = Field(description="The key with which it was asked for.")


class ChannelQuota(BaseModel):
    """Contacts of one channel in the current month."""

    channel: str
    limit: int
    reserved: int
    spent: int
    remaining: int


class QuotaState(BaseModel):
    """Contacts that the platform still allows."""

    customer_id: str
    month: str
    channels: list[ChannelQuota]


class PreviewBody(_Request):
    """Changed policy files, as mappings; what is left away stays as it stands."""

    actions: dict[str, Any] | None = None
    contact_policy: dict[str, Any] | None = None
    levers: dict[str, Any] | None = None


class PreviewResult(BaseModel):
    """What would change against the current plan."""

    difference: dict[str, Any]


class CustomerActions(BaseModel):
    """Next best actions for one customer, best first."""

    customer_id: str
    rescored: bool = Field(
        description="True: by models and rules with all that is known of the customer now (where "
        "nothing was heard since the night, the night asked them); false: last night's list only."
    )
    actions: list[ListedAction]


class Door(BaseModel):
    """Why an action is not open to a customer."""

    code: str
    zh: str
    en: str
    opens_on: date | None = Field(
        description="The day from which the contact policy lets it go, if nobody contacts the "
        "customer meanwhile; null: not by waiting alone, or not within 31 days."
    )


class Candidate(BaseModel):
    """One action type for one customer, open or not."""

    action_type: str
    action_name: Name | None
    mode: Mode
    open: bool
    door: Door | None = Field(description="Null where it is open.")
    need: str | None
    category: str | None
    value: float | None = Field(description="Net effect times lever; null without profiling.")
    minutes: float
    factors: dict[str, float | None] = Field(
        description="What the value is made of; empty without the consent to profiling."
    )


class CustomerWhy(BaseModel):
    """Every action type for one customer, those that came furthest first."""

    customer_id: str
    as_of: date
    heard_since: bool = Field(
        description="True: something was heard of the customer since, which is not in here."
    )
    price_per_minute: float | None = Field(
        description="What a minute of the clerk earns today: less per minute is not listed."
    )
    candidates: list[Candidate]


class CustomerProducts(BaseModel):
    """Ranked products for one customer."""

    customer_id: str
    rescored: bool
    products: list[ProductScore]


class Health(BaseModel):
    """That the process answers."""

    status: Literal["ok"] = "ok"
    version: str


class LastNight(BaseModel):
    """How the last run of the nightly job went."""

    as_of: date
    state: NightlyRunState
    began_at: AwareDatetime
    ended_at: AwareDatetime | None
    step: str | None = Field(description="The step that failed.")
    error: str | None = Field(description="The kind of error; `nba doctor` says what it was.")


class Readiness(BaseModel):
    """Whether the service can do its work: `degraded` serves, and somebody should look."""

    ready: bool
    status: Literal["ready", "degraded"]
    problems: list[Literal["night_failed", "rows_refused"]]
    store: bool
    plan_as_of: date | None
    outbox_waiting: int
    outbox_refused: int
    last_night: LastNight | None
