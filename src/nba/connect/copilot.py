"""An MCP server over the API: what a copilot may ask, with the rights of one API key.

Every tool is a question to the API, so that a copilot sees what its key sees and nothing else, and
no tool writes. Answers are built field by field: without personal data a customer is a handle, and
no name, contact, birthday, free text or finished message leaves.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

#: Asks the API: a path and its parameters; returns the status and the body.
Ask = Callable[[str, Mapping[str, object]], Awaitable[tuple[int, Any]]]
Row = Mapping[str, Any]
Language = Literal["zh", "en"]
INSTRUCTIONS: Final = (
    "What a shop's clerks should do today and why. Read-only. Begin with list_clerks, then "
    "todays_list; a customer is named by the handle of an earlier answer. Advise, never promise; "
    "being left alone is a customer's right."
)
_READ_ONLY: Final = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_HANDLE: Final = "customer-"
#: Facts of the card that say nothing of who somebody is.
_FACTS: Final = (
    "days_since_purchase", "purchase_days", "spend_365d_amount", "average_order_amount",
    "gap_days_median", "overdue_ratio", "price_tier", "main_category", "discount_share",
)  # fmt: skip
_TIMING: Final = ("p_purchase_7d", "p_purchase_30d", "expected_days", "overdue_ratio", "p_alive")
#: Reasons whose text tells a date of somebody's life.
_TELLING: Final = "birthday"
_MOST: Final = 200
#: A part of the API that is not ready yet (its models load at the first question) is asked again.
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 1.0
_NOT_READY: Final = 503

ClerkId = Annotated[str, Field(description="A clerk_id of list_clerks.", max_length=200)]
Customer = Annotated[
    str, Field(description="A customer's handle, from an earlier answer.", max_length=300)
]
#: Tables of the report; none says anything of a single customer.
Part = Literal[
    "arms", "against_lists", "levers", "modes", "action_types", "sequences", "segments", "stores",
    "clerks", "funnel", "minutes", "restraint", "follow",
]  # fmt: skip
Limit = Annotated[int, Field(ge=1, le=50, description="Rows at most.")]


@dataclass
class Copilot:
    """The tools.

    Parameters
    ----------
    ask : callable
        The API, with the key of whom the copilot serves.
    secret : bytes
        Handles of customers are hashed with it.
    templates : mapping of str to mapping of str to str
        Talking points of the catalogue, by action type and language.
    is_personal : bool
        Ids, names and finished messages may be shown.
    newest_report : callable, optional
        Returns the period, the headline and the tables of the newest report, or None; left out
        where the key may not see it.
    """

    ask: Ask
    secret: bytes
    templates: Mapping[str, Mapping[str, str]]
    is_personal: bool = False
    newest_report: Callable[[], Row | None] | None = None
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def server(self) -> MCPServer:
        """Return the MCP server with every tool."""
        # what its HTTP client logs at a lower level names customers
        server = MCPServer("nba", instructions=INSTRUCTIONS, log_level="WARNING")
        for tool in (
            self.list_clerks,
            self.current_plan,
            self.todays_list,
            self.find_customers,
            self.customer,
            self.next_actions,
            self.why,
            self.why_not,
            self.what_would_change,
            self.products,
            self.talking_points,
            self.report,
        ):
            server.tool(annotations=_READ_ONLY)(tool)
        return server

    # ------------------------------------------------------------------ tools

    async def list_clerks(self) -> list[dict[str, Any]]:
        """List the clerks that the key may see, with how many actions are planned for each."""
        found = await self._get("/v1/clerks")
        names = ("clerk_id", "store_id", "planned")
        return [_only(row, *names) for row in found["clerks"]]

    async def current_plan(self) -> dict[str, Any]:
        """Tell of which day the published plan is, how old it is, and what it counts."""
        found = await self._get("/v1/plans/current")
        return _only(
            found, "as_of", "published_at", "stale", "age_days", "policy_version", "counts"
        )

    async def todays_list(
        self, clerk_id: ClerkId, language: Language = "en", limit: Limit = 20
    ) -> list[dict[str, Any]]:
        """Return a clerk's ranked list: whom, what, when, in which mode, why."""
        found = await self._get(f"/v1/clerks/{_path(clerk_id)}/actions", limit=limit)
        return [self._action(row, language) for row in found["actions"]]

    async def find_customers(
        self,
        clerk_id: ClerkId,
        need: Annotated[str, Field(min_length=1, max_length=100,
            description="Part of an action's, product's or reason's name, such as 'tea'.")],
        language: Language = "en",
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Find the customers on a clerk's list by what they need."""
        found = await self._get(f"/v1/clerks/{_path(clerk_id)}/actions", limit=_MOST)
        shown = [self._action(row, language) for row in found["actions"]]
        wanted = need.casefold()
        parts = ("action", "action_type", "products", "reasons")
        return [row for row in shown if any(wanted in str(row[part]).casefold() for part in parts)]

    async def customer(self, customer: Customer) -> dict[str, Any]:
        """Return what matters of a customer: rhythm, taste, tags, contacts, how many are left."""
        card = await self._get(self._customer_path(customer))
        quota = await self._get(f"/v1/quotas/{_path(card['customer_id'])}")
        state = _only(card["state"], "is_friend", "is_blocked", "consent_contact")
        return {
            "customer": self._handle(card["customer_id"]),
            **state,
            "facts": _only(card["behaviour"], *_FACTS),
            "timing": _only(card["timing"] or {}, *_TIMING),
            "tags": [
                tag["tag"]
                for tag in card["tags"]
                if self.is_personal or tag["source"] in ("rule", "model")
            ],
            "bought": [
                _only(row, "ts", "name", "category", "quantity", "amount")
                for row in card["purchases"][:20]
            ],
            "contacts": [
                _only(row, "ts", "mode", "channel", "responses") for row in card["contacts"][:20]
            ],
            "contacts_left": [_only(row, "channel", "remaining") for row in quota["channels"]],
        }

    async def next_actions(
        self, customer: Customer, language: Language = "en"
    ) -> list[dict[str, Any]]:
        """Return the next best actions for one customer now, best first."""
        found = await self._get(f"{self._customer_path(customer)}/actions")
        return [self._action(row, language) for row in found["actions"]]

    async def why(self, customer: Customer, language: Language = "en") -> list[dict[str, Any]]:
        """Return why each action is advised to this customer, and what to mind."""
        found = await self._get(f"{self._customer_path(customer)}/actions")
        return [
            {
                "action": (row["action_name"] or {}).get(language) or row["action_type"],
                "reasons": self._reasons(row, language, "reason"),
                "cautions": self._reasons(row, language, "caution"),
            }
            for row in found["actions"]
        ]

    async def why_not(self, customer: Customer, language: Language = "en") -> list[dict[str, Any]]:
        """Return which actions are closed to a customer, why, and the day on which each opens."""
        found = await self._get(f"{self._customer_path(customer)}/why")
        return [
            {
                "action": (row["action_name"] or {}).get(language) or row["action_type"],
                **_only(row, "action_type", "mode", "need", "category"),
                "why_not": self._text(row["door"], language),
                "opens_on": row["door"]["opens_on"],
            }
            for row in found["candidates"]
            if row["door"] is not None
        ]

    async def what_would_change(
        self, customer: Customer, language: Language = "en"
    ) -> list[dict[str, Any]]:
        """Return what would make each advice wrong or unnecessary."""
        found = await self._get(f"{self._customer_path(customer)}/actions")
        return [
            {
                "action": (row["action_name"] or {}).get(language) or row["action_type"],
                "changes": self._reasons(row, language, "change"),
                "expires_at": row["expires_at"],
            }
            for row in found["actions"]
        ]

    async def products(self, customer: Customer, limit: Limit = 10) -> list[dict[str, Any]]:
        """Return the products that fit a customer now, best first."""
        found = await self._get(f"{self._customer_path(customer)}/products", limit=limit)
        names = ("rank", "product_id", "name", "category", "price", "relevance", "source")
        return [_only(row, *names) for row in found["products"]]

    async def talking_points(
        self,
        action_type: Annotated[str, Field(max_length=100, description="Of a listed action.")],
        language: Language = "en",
    ) -> dict[str, str]:
        """Return the catalogue's talking point to draft a message from.

        Keep to it; leave the fields in braces, such as {customer}, for the clerk's app to fill.
        """
        texts = self.templates.get(action_type)
        if texts is None:
            raise ToolError(f"the catalogue has none of {', '.join(sorted(self.templates))}")
        return {"action_type": action_type, "talking_point": texts[language]}

    async def report(self, part: Part = "arms") -> dict[str, Any]:
        """Return what contacting earned against leaving alone, by the newest report.

        The headline and one of its tables: every arm of the experiment against the holdout, modes,
        action types, stores and so on, with 95 % intervals. A verdict may be that nobody can tell.
        """
        if self.newest_report is None:
            raise ToolError("403: Forbidden")
        found = self.newest_report()
        if found is None:
            raise ToolError("404: there is no report yet; `nba report` writes one")
        return {**_only(found, "period", "headline"), part: found.get(part, [])}

    # ------------------------------------------------------------------ parts

    async def _get(self, path: str, **params: object) -> Any:
        for attempt in range(_TRIES):
            status, body = await self.ask(path, params)
            if status != _NOT_READY or attempt == _TRIES - 1:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        if status >= 400:
            # the API's answer may repeat what was asked; only its kind goes to the model
            title = body.get("title", "refused") if isinstance(body, dict) else "refused"
            raise ToolError(f"{status}: {title}")
        return body

    def _customer_path(self, handle: str) -> str:
        return f"/v1/customers/{_path(self._reveal(handle))}"

    def _handle(self, customer_id: str) -> str:
        if self.is_personal:
            return customer_id
        digest = hmac.new(self.secret, customer_id.encode(), hashlib.sha256).hexdigest()
        handle = _HANDLE + digest[:16]
        self._known[handle] = customer_id
        return handle

    def _reveal(self, handle: str) -> str:
        if self.is_personal:
            return handle
        known = self._known.get(handle)
        if known is None:
            raise ToolError("no such handle in this session: ask for a list first")
        return known

    def _action(self, row: Row, language: Language) -> dict[str, Any]:
        shown = {
            "customer": self._handle(row["customer_id"]),
            **_only(row, "rank", "action_type", "mode", "channel", "contact_from", "contact_to",
                    "minutes", "value", "status"),
            "action": (row["action_name"] or {}).get(language) or row["action_type"],
            "products": [one["name"] or one["product_id"] for one in row["products"]],
            "reasons": self._reasons(row, language, "reason", "caution"),
        }  # fmt: skip
        if self.is_personal:
            shown["talking_point"] = row["talking_point"]
        return shown

    def _reasons(self, row: Row, language: Language, *kinds: str) -> list[str]:
        return [self._text(one, language) for one in row["reasons"] if one["kind"] in kinds]

    def _text(self, one: Row, language: Language) -> str:
        """Return a text, or its code alone where it tells a date of somebody's life."""
        telling = _TELLING in one["code"] and not self.is_personal
        return str(one["code"] if telling else one[language])


def _only(row: Row, *names: str) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _path(part: str) -> str:
    return quote(part, safe="")


def templates_of(actions: Iterable[Any]) -> dict[str, dict[str, str]]:
    """Return the talking points of catalogue entries, by action type and language."""
    return {
        action.action_type: {
            "zh": str(action.talking_point.of("zh")),
            "en": str(action.talking_point.of("en")),
        }
        for action in actions
    }
