"""What the service shows about customers. Moments are aware."""

from __future__ import annotations

from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from nba.schema.words import Mode, TagSource


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Clerk(_Shape):
    """A clerk and the store they work in."""

    clerk_id: str
    store_id: str | None = None
    name: str | None = None
    timezone: str | None = Field(
        None, description="IANA zone of the store's clocks; null: the project's."
    )


class Owner(_Shape):
    """Who serves a customer: decides whose key may see them."""

    customer_id: str
    clerk_id: str | None = None
    store_id: str | None = None


class Person(_Shape):
    """Who a customer is, for the eyes of who may see them."""

    name: str | None = None
    alias: str | None = Field(None, description="What the clerk calls them.")
    avatar: str | None = None
    phone_tail: str | None = None
    external_id: str | None = Field(None, description="The chat platform's id.")
    chat_link: str | None = Field(None, description="Opens the chat with them.")


class TagFact(_Shape):
    """A tag that stands."""

    tag: str
    value: str | None = None
    value_name: str | None = Field(None, description="The product that the value names.")
    source: TagSource
    ts: AwareDatetime
    expires_at: AwareDatetime | None = None


class Purchase(_Shape):
    """One line of the purchase record; a return has a negative quantity."""

    ts: AwareDatetime
    product_id: str
    name: str | None = None
    category: str | None = None
    quantity: float
    amount: float | None = Field(None, description="Money paid, in the project's currency.")


class Timing(_Shape):
    """When this customer is likely to buy again."""

    p_purchase_7d: float | None = None
    p_purchase_14d: float | None = None
    p_purchase_30d: float | None = None
    p_purchase_90d: float | None = None
    expected_days: float | None = None
    overdue_ratio: float | None = None
    p_alive: float | None = None
    expected_margin_365d: float | None = None
    survival: list[float] = Field(
        default_factory=list, description="P(no purchase by day 0, 1, …, 90)."
    )


class NextNeed(_Shape):
    """A category that the customer is expected to need next."""

    category: str
    expected_days: float | None = None
    due_on: date | None = None
    p_purchase_14d: float | None = None


class Matter(_Shape):
    """Something open between the customer and the shop: a case, or a benefit to use."""

    kind: str = Field(description="question, complaint, after_sale, coupon, points or gift")
    opened_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    amount: float | None = None


class ProductFacts(_Shape):
    """What is known of a product that an action brings."""

    name: str | None = None
    category: str | None = None
    price: float | None = None
    on_hand: float | None = Field(None, description="In stock; null: not known.")
    link: str | None = None
    image: str | None = None


class OfferFacts(_Shape):
    """Content or an event that an action brings."""

    title: str
    link: str | None = None
    starts_at: AwareDatetime | None = None


class BookEntry(_Shape):
    """A customer in a clerk's book."""

    customer_id: str
    person: Person
    tags: list[str] = Field(default_factory=list)
    is_friend: bool = False
    is_blocked: bool = False


class ProductScore(_Shape):
    """A product that fits this customer now."""

    rank: int
    product_id: str
    name: str | None = None
    category: str | None = None
    price: float | None = None
    on_hand: float | None = None
    relevance: float
    source: str = Field(description="repeat, explore or popular")


class ModeScore(_Shape):
    """What a contact in a mode is expected to change for this customer."""

    mode: Mode
    uplift_amount: float
    uplift_lower: float | None = None
    risk: float | None = None


class Contact(_Shape):
    """One contact that took place, and what the customer did after it."""

    ts: AwareDatetime
    mode: Mode
    channel: str | None = None
    action_type: str | None = None
    clerk_id: str | None = None
    responses: list[str] = Field(default_factory=list)


class CustomerState(_Shape):
    """What holds about a customer, as the lake knows it."""

    is_friend: bool
    is_blocked: bool
    consent_contact: bool
    consent_profiling: bool
    friend_since: AwareDatetime | None = None
    birthday: str | None = None
    locale: str | None = None


class CustomerCard(_Shape):
    """Everything a clerk sees of one customer."""

    customer_id: str
    clerk_id: str | None = None
    store_id: str | None = None
    person: Person = Person()
    state: CustomerState
    behaviour: dict[str, float | str | None] = Field(
        default_factory=dict, description="Features of the view customer_behaviour, by name."
    )
    tags: list[TagFact] = Field(default_factory=list)
    purchases: list[Purchase] = Field(default_factory=list, description="Newest first.")
    timing: Timing | None = None
    affinity: list[ProductScore] = Field(default_factory=list)
    modes: list[ModeScore] = Field(default_factory=list)
    contacts: list[Contact] = Field(default_factory=list, description="Newest first.")
    needs: list[NextNeed] = Field(default_factory=list, description="Soonest first.")
    matters: list[Matter] = Field(default_factory=list)
