"""What the engine asks of a chat platform, whichever it is.

Ids of people and clerks here are the platform's own; moments are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from nba.errors import NbaError, UnavailableError


class ChatError(NbaError):
    """The platform refused a call, and would refuse it again.

    Parameters
    ----------
    call : str
        The call's name.
    code : int
        The platform's own code.
    said : str
        What the platform said of it.
    """

    def __init__(self, call: str, code: int, said: str) -> None:
        self.code = code
        super().__init__(
            f"the chat platform refused {call}",
            found=f"{code} {said}".strip(),
            next_step="look the code up in the platform's own documents",
        )


class ThrottledError(UnavailableError):
    """The platform takes no more calls for now; nothing was done."""


class UncertainError(UnavailableError):
    """A call was sent and nobody knows whether it was done."""


@dataclass(frozen=True)
class Contact:
    """One person as one clerk's friend.

    Parameters
    ----------
    external_id, clerk : str
    since : datetime
        When they became friends.
    name, avatar, gender, union_id, remark, phone, state : str
        Empty where the platform says nothing; `state` names the way in, as the shop set it.
    add_way : int
        The platform's code of how they became friends.
    tags : tuple of str
        Names.
    """

    external_id: str
    clerk: str
    since: datetime
    name: str = ""
    avatar: str = ""
    gender: str = ""
    union_id: str = ""
    remark: str = ""
    phone: str = ""
    state: str = ""
    add_way: int = 0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """An outside member of a group."""

    external_id: str
    joined_at: datetime
    union_id: str = ""


@dataclass(frozen=True)
class Group:
    """A group of a clerk with its outside members."""

    group_id: str
    clerk: str
    topic: str
    created_at: datetime
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class DayCount:
    """What the platform counted of a clerk on a day."""

    clerk: str
    day: date
    chats: int
    messages: int
    new_contacts: int
    negative: int
    reply_share: float | None
    first_reply_minutes: float | None


class SendOutcome(StrEnum):
    """What became of one recipient of a task; only `sent` says anything of the customer."""

    WAITING = "waiting"
    SENT = "sent"
    NOT_FRIEND = "not_friend"
    CAPPED = "capped"
    NOT_SENT = "not_sent"


@dataclass(frozen=True)
class Message:
    """A message that one clerk confirms for one or many of their friends."""

    clerk: str
    text: str
    recipients: tuple[str, ...]
    link: str = ""
    title: str = ""


@dataclass(frozen=True)
class Created:
    """A task as the platform knows it.

    Parameters
    ----------
    remote_id : str
    refused : tuple of str
        Recipients that the platform left out at once: no friends of this clerk.
    """

    remote_id: str
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What the platform says of one recipient."""

    external_id: str
    outcome: SendOutcome
    at: datetime | None = None


class TransferState(StrEnum):
    """How a hand-over stands."""

    DONE = "done"
    WAITING = "waiting"
    REFUSED = "refused"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class PostResult:
    """Whether a clerk published a post, and who could see it."""

    published: bool
    seen_by: tuple[str, ...] = field(default=())


class ChatPlatform(Protocol):
    """A chat platform. Calls raise `ChatError`, `ThrottledError`, `UncertainError`."""

    def clerks(self) -> list[str]:
        """Return the clerks who may have outside friends."""

    def contacts(self, clerks: Sequence[str]) -> Iterator[Contact]:
        """Yield every friendship of some clerks, page by page."""

    def contact(self, external_id: str) -> list[Contact]:
        """Return the friendships of one person; none where nobody is their friend."""

    def groups(self, group_ids: Sequence[str] | None = None) -> Iterator[Group]:
        """Yield all groups, or some; a group that was dismissed is left out."""

    def statistics(self, clerk: str, first: date, last: date) -> list[DayCount]:
        """Return what was counted of a clerk on the days from `first` to `last`."""

    def create_message(self, message: Message) -> Created:
        """Make a task that the clerk confirms."""

    def find_message(
        self, message: Message, since: datetime, until: datetime, known: set[str]
    ) -> Created | None:
        """Return the task that a call made whose answer was lost, if it did.

        Parameters
        ----------
        message : Message
        since, until : datetime
            When the call was made, and now.
        known : set of str
            Ids of tasks that other calls made.
        """

    def cancel_message(self, remote_id: str) -> None:
        """Withdraw a task as far as it is not sent."""

    def results(self, remote_id: str, clerk: str) -> Iterator[Result]:
        """Yield what became of each recipient."""

    def create_post(self, clerk: str, text: str, link: str = "", title: str = "") -> str:
        """Make a task for a clerk to post to the moments; return its id.

        Parameters
        ----------
        clerk, text : str
        link, title : str
            Of what the post shows; empty for a text alone.
        """

    def find_post(
        self, message: Message, since: datetime, until: datetime, known: set[str]
    ) -> Created | None:
        """Return the post that a call made whose answer was lost, as `find_message` does.

        Parameters
        ----------
        message : Message
        since, until : datetime
        known : set of str
        """

    def post_result(self, remote_id: str, clerk: str) -> PostResult | None:
        """Return what became of a post; None while the platform still makes the task."""

    def welcome(self, code: str, text: str) -> bool:
        """Greet a new friend; False where the code has ended, was used, or the chat began."""

    def tag(self, clerk: str, external_id: str, tags: Sequence[str]) -> None:
        """Put tags on a friend; those already there stay."""

    def transfer(self, external_id: str, from_clerk: str, to_clerk: str) -> TransferState:
        """Ask that a friend goes over to a colleague."""

    def transfers(self, from_clerk: str, to_clerk: str) -> dict[str, TransferState]:
        """Return by person how the hand-overs between two clerks stand."""
