"""What became of one recipient of a task on the chat platform, recorded once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from nba.connect.chat.port import SendOutcome
from nba.errors import NotFoundError
from nba.schema.words import FeedbackKind
from nba.stores import chat
from nba.stores.feedback import Feedback
from nba.stores.operational import Writer

#: Outcome: what the action's feedback says of it, and why.
FEEDBACK: Final = {
    SendOutcome.SENT: (FeedbackKind.SENT, None),
    SendOutcome.NOT_FRIEND: (FeedbackKind.UNDELIVERED, "not_a_friend"),
    SendOutcome.CAPPED: (FeedbackKind.UNDELIVERED, "platform_cap"),
    SendOutcome.NOT_SENT: (FeedbackKind.EXPIRED, "not_sent_by_clerk"),
}


def settle_recipient(writer: Writer, row: Any, one: Any, outcome: str, at: datetime) -> bool:
    """Record what became of one recipient, once; False where that was known.

    Parameters
    ----------
    writer : Writer
    row, one : Row
        The task and the recipient.
    outcome : str
    at : datetime
        When the platform says that it happened.
    """
    if not chat.set_outcome(writer.connection, one.task_id, one.customer_id, outcome, at):
        return False
    if outcome == SendOutcome.NOT_FRIEND:
        # who ended it is not known; the platform's lists may go on naming them
        chat.end(writer.connection, one.external_id, row.clerk, None, at)
        chat.mark(writer.connection, chat.CONTACT, one.external_id, writer.now)
    if one.action_id is not None:
        kind, reason = FEEDBACK[SendOutcome(outcome)]
        entry = Feedback(
            f"chat:{one.action_id}:{outcome}", one.action_id, row.clerk_id, at, kind, reason
        )
        try:
            writer.record(entry)
        except NotFoundError:
            return True  # the plan was replaced: there is no such action any more
    return True
