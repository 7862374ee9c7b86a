"""The vocabulary: ids and enumerations, each defined once.

String enums, so that a value compares equal to what stands in a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType

CustomerId = NewType("CustomerId", str)
ClerkId = NewType("ClerkId", str)
StoreId = NewType("StoreId", str)

#: The columns that hold ids, wherever they stand.
CUSTOMER_ID: Final = "customer_id"
CLERK_ID: Final = "clerk_id"
STORE_ID: Final = "store_id"
PRODUCT_ID: Final = "product_id"
CATEGORY: Final = "category"
#: Times by the clock of the store, beside `ts`, where a store has another zone than the project.
CLOCK: Final = "store_ts"


class Mode(StrEnum):
    """The three interaction modes, and `none`: leave the customer alone."""

    SHOPPING_ASSISTANT = "shopping_assistant"
    TOPIC_EXPERT = "topic_expert"
    PRIVATE_PARTNER = "private_partner"
    NONE = "none"


CONTACT_MODES: tuple[Mode, ...] = (
    Mode.SHOPPING_ASSISTANT,
    Mode.TOPIC_EXPERT,
    Mode.PRIVATE_PARTNER,
)


#: The category of postage, fees, vouchers and adjustments: kept, never brought to a customer.
SERVICE_CATEGORY: Final = "service"
#: The category of products that state none.
UNKNOWN_CATEGORY: Final = "unknown"


class CategoryKind(StrEnum):
    """How a category is bought: short decision chain, strong group, or premium."""

    SHORT = "short"
    GROUP = "group"
    PREMIUM = "premium"


class Channel(StrEnum):
    """The channel of a contact."""

    MOMENTS = "moments"
    SUBSCRIPTION = "subscription"
    CHAT = "chat"
    GROUP = "group"
    MINI_PROGRAM = "mini_program"
    PHONE = "phone"
    STORE = "store"
    EVENT = "event"


#: Channels that reach only friends of the clerk.
CHAT_CHANNELS: tuple[Channel, ...] = (Channel.MOMENTS, Channel.CHAT, Channel.GROUP)
#: Channels whose posts stand in a feed, seen or not: nobody is asked, so that a post without an
#: answer is no silence and wears nobody's patience.
FEED_CHANNELS: tuple[Channel, ...] = (Channel.MOMENTS,)


class SalesChannel(StrEnum):
    """Where a transaction took place."""

    STORE = "store"
    MINI_PROGRAM = "mini_program"
    WEB = "web"


#: Where a customer buys what no store near them has.
ONLINE_CHANNELS: tuple[SalesChannel, ...] = (SalesChannel.MINI_PROGRAM, SalesChannel.WEB)


class ResponseKind(StrEnum):
    """What the customer did after an interaction."""

    DELIVERED = "delivered"
    READ = "read"
    REPLIED = "replied"
    CLICKED = "clicked"
    JOINED = "joined"
    ATTENDED = "attended"
    PURCHASED = "purchased"
    BLOCKED = "blocked"
    COMPLAINED = "complained"


#: Responses that say "no".
NEGATIVE_RESPONSES: tuple[ResponseKind, ...] = (ResponseKind.BLOCKED, ResponseKind.COMPLAINED)
#: Responses that say that the customer engaged.
ENGAGED_RESPONSES: tuple[ResponseKind, ...] = (
    ResponseKind.REPLIED,
    ResponseKind.CLICKED,
    ResponseKind.JOINED,
    ResponseKind.ATTENDED,
    ResponseKind.PURCHASED,
)


#: Bands of the hours of a day in which reading is counted: first hour, and the one after the last.
HOUR_BANDS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "night": (0, 8),
        "morning": (8, 11),
        "noon": (11, 14),
        "afternoon": (14, 16),
        "late_afternoon": (16, 18),
        "evening": (18, 20),
        "late_evening": (20, 24),
    }
)


class FeedbackKind(StrEnum):
    """What the clerk did with an action."""

    SHOWN = "shown"
    OPENED = "opened"
    SENT = "sent"
    SKIPPED = "skipped"
    SNOOZED = "snoozed"
    DISMISSED = "dismissed"
    EXPIRED = "expired"
    UNDELIVERED = "undelivered"


class TagSource(StrEnum):
    """Where a tag comes from."""

    CLERK = "clerk"
    IMPORT = "import"
    RULE = "rule"
    MODEL = "model"


class Arm(StrEnum):
    """Arms of the standing experiment, drawn by a salted hash of the customer."""

    ENGINE = "engine"
    HOLDOUT = "holdout"
    RANDOM = "random"
    BUSINESS_AS_USUAL = "business_as_usual"
    OBSERVE = "observe"
    DUE_WORTH = "due_worth"
    MOST_OVERDUE = "most_overdue"
    RECENCY_SPEND = "recency_spend"
    TOP_PROPENSITY = "top_propensity"
    CLERK_HABIT = "clerk_habit"


#: Arms that a simple policy plans: lists without any learned effect.
SIMPLE_ARMS: Final = (
    Arm.DUE_WORTH,
    Arm.MOST_OVERDUE,
    Arm.RECENCY_SPEND,
    Arm.TOP_PROPENSITY,
    Arm.CLERK_HABIT,
)
#: Arms that are left to the clerks' own habit: they get no list and no choice is made for them.
OWN_HABIT_ARMS: Final = (Arm.BUSINESS_AS_USUAL, Arm.OBSERVE)
#: Arms whose customers are on lists, each list drawn with logged propensities; so are those of
#: every arm with a name of its own, which plans by other rules.
LISTED_ARMS: Final = (Arm.ENGINE, Arm.RANDOM, *SIMPLE_ARMS)
#: Arms whose customers are on no list.
UNLISTED_ARMS: Final = (Arm.HOLDOUT, *OWN_HABIT_ARMS)


class DrawUnit(StrEnum):
    """Who draws the arm of a test: each customer, or a clerk, store or group for all its own."""

    CUSTOMER = "customer"
    CLERK = "clerk"
    STORE = "store"
    GROUP = "group"


class BenefitKind(StrEnum):
    """Kinds of benefits a customer may hold."""

    COUPON = "coupon"
    POINTS = "points"
    GIFT = "gift"


class ServiceCaseKind(StrEnum):
    """Kinds of service cases."""

    QUESTION = "question"
    COMPLAINT = "complaint"
    AFTER_SALE = "after_sale"


class BehaviourKind(StrEnum):
    """What a customer did in a shop's app or site that is no purchase."""

    VIEW = "view"
    SEARCH = "search"
    CART = "cart"
    FAVOURITE = "favourite"
    SHARE = "share"


class EndedBy(StrEnum):
    """Who ended a friendship."""

    CUSTOMER = "customer"
    CLERK = "clerk"
