"""Examples of the OpenAPI document: one of each request, and of what clients read first."""

from __future__ import annotations

from typing import Any, Final

_NOW: Final = "2026-03-02T10:00:00+08:00"
_PRODUCT: Final[dict[str, Any]] = {
    "product_id": "P00105",
    "name": "绿茶 | Green tea",
    "category": "tea",
    "price": 68.0,
    "on_hand": 4,
}
_ACTION: Final[dict[str, Any]] = {
    "action_id": "a81f3c",
    "as_of": "2026-03-02",
    "clerk_id": "K00002",
    "rank": 1,
    "customer_id": "C000117",
    "person": {"name": "王丽", "phone_tail": "0117"},
    "mode": "shopping_assistant",
    "action_type": "replenish_reminder",
    "action_name": {"zh": "补货提醒", "en": "Replenishment reminder"},
    "channel": "chat",
    "products": [_PRODUCT],
    "content_id": None,
    "offer": None,
    "contact_from": _NOW,
    "contact_to": "2026-03-02T12:00:00+08:00",
    "minutes": 2.0,
    "value": 11.4,
    "uplift": 12.1,
    "p_repurchase_30d": 0.41,
    "reasons": [
        {"code": "due", "kind": "reason", "zh": "绿茶快用完了", "en": "Green tea runs low"}
    ],
    "talking_point": "王丽您好，上次的绿茶该续上了。",
    "expires_at": "2026-03-03T00:00:00+08:00",
    "expired": False,
    "status": "new",
}

#: By the name of the schema.
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "ActionList": {
        "stale": False,
        "age_days": 0,
        "as_of": "2026-03-02",
        "clerk_id": "K00002",
        "version": "9f2c51d07a3e-4",
        "published_at": "2026-03-02T03:10:00+08:00",
        "actions": [_ACTION],
        "closed": [],
        "next_cursor": None,
        "now": _NOW,
    },
    "SidebarBody": {"external_id": "wmA1b2C3"},
    "ListChanges": {
        "clerk_id": "K00002",
        "since": "9f2c51d07a3e-4",
        "version": "9f2c51d07a3e-5",
        "now": _NOW,
        "added": [{**_ACTION, "action_id": "a90b11", "rank": 14, "reason": "replacement"}],
        "removed": [{"action_id": "a5c200", "reason": "bought"}],
    },
    "CustomerActions": {"customer_id": "C000117", "rescored": True, "actions": [_ACTION]},
    "FeedbackBody": {
        "feedback_id": "5f0f6d2e-a81f3c-sent",
        "kind": "sent",
        "ts": _NOW,
        "position": 1,
    },
    "FeedbackBatch": {
        "feedback": [
            {
                "feedback_id": "5f0f6d2e-a81f3c-shown",
                "action_id": "a81f3c",
                "kind": "shown",
                "ts": _NOW,
                "position": 1,
            }
        ]
    },
    "PostFeedback": {"feedback_id": "5f0f6d2e-post-g7", "kind": "sent", "ts": _NOW},
    "EventBatch": {
        "transactions": [
            {
                "order_id": "1001",
                "line_no": "1",
                "customer_id": "C000117",
                "product_id": "P00105",
                "ts": _NOW,
                "quantity": 2,
                "unit_price": "68.00",
            }
        ],
        "responses": [
            {
                "response_id": "r-77",
                "customer_id": "C000117",
                "ts": _NOW,
                "kind": "replied",
            }
        ],
    },
    "BatchResult": {
        "accepted": 1,
        "repeated": 0,
        "refused": 0,
        "rows": [{"table": "transactions", "index": 0, "status": "accepted", "notes": []}],
    },
    "TagBody": {"value": "jasmine", "expires_at": "2026-09-01T00:00:00+08:00"},
    "ConsentBody": {"consent_contact": True, "consent_profiling": False, "consent_at": _NOW},
    "HandoverBody": {"to_clerk_id": "K00003"},
    "PreviewBody": {"levers": {"levers": []}},
    "Problem": {
        "type": "urn:nba:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no customer 'C999'",
        "code": "not_found",
        "expected": "a customer_id that the lake knows",
        "next_step": "check the id; ids are text, and leading zeros count",
        "errors": [],
    },
}

#: By the name of the parameter, in paths and queries.
PARAMETERS: Final[dict[str, str]] = {
    "clerk_id": "K00002",
    "customer_id": "C000117",
    "store_id": "S001",
    "action_id": "a81f3c",
    "external_id": "wmA1b2C3",
    "tag": "prefers_jasmine",
    "audience": "group:G007",
    "action_type": "replenish_reminder",
    "since": "9f2c51d07a3e-4",
    "q": "王",
}
