"""A day's few calls by the generated Python client; arguments: the address and a clerk's key."""

import sys
from datetime import datetime

from nba_client import AuthenticatedClient
from nba_client.api.clerks import list_actions
from nba_client.api.customers import put_tag, read_card
from nba_client.api.events import post_events
from nba_client.api.feedback import give_feedback
from nba_client.models import (
    ActionList,
    BatchResult,
    EventBatch,
    FeedbackBody,
    FeedbackKind,
    FeedbackReceipt,
    LiveCard,
    Problem,
    TagBody,
    TagList,
)

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
with client:
    read = list_actions.sync("k1", client=client)
    assert isinstance(read, ActionList), read
    first = read.actions[0]
    card = read_card.sync(first.customer_id, client=client)
    assert isinstance(card, LiveCard), card
    body = FeedbackBody(feedback_id="py-1", kind=FeedbackKind.SENT, ts=datetime.now())
    receipt = give_feedback.sync(first.action_id, client=client, body=body)
    assert isinstance(receipt, Problem), "a clock of our day is in the future of the shop's"
    seen = {"event_id": "py-1", "customer_id": first.customer_id, "kind": "view"}
    batch = EventBatch.from_dict({"behaviour": [seen | {"ts": read.now.isoformat()}]})
    taken = post_events.sync(client=client, body=batch)
    assert isinstance(taken, BatchResult), taken
    assert taken.accepted == 1
    body.ts = read.now
    receipt = give_feedback.sync(first.action_id, client=client, body=body)
    assert isinstance(receipt, FeedbackReceipt), receipt
    tagged = put_tag.sync(
        first.customer_id, "tea", client=client, body=TagBody(), if_none_match="*"
    )
    assert isinstance(tagged, TagList), tagged
    again = put_tag.sync(first.customer_id, "tea", client=client, body=TagBody(), if_none_match="*")
    assert isinstance(again, Problem), again
    assert again.status == 412
    print(receipt.status, tagged.tags[0].tag)
