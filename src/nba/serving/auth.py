"""Who is calling, and whom they may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Final, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from nba.errors import NotPermittedError
from nba.logs import log
from nba.serving.attempts import WrongKeys
from nba.serving.cards import CustomerCards
from nba.serving.errors import NotAuthenticatedError, TooManyWrongKeysError
from nba.serving.services import Access, Services
from nba.serving.sidebar import ALLOWED, is_sidebar_token
from nba.serving.sign_in import Identity, is_token
from nba.stores.access import NAMESPACE_END, Scope

#: The table that only sources write.
SALES: Final = "transactions"

bearer = HTTPBearer(
    auto_error=False,
    description="An API key made with `nba keys create`, or a token of the sign-in's issuer.",
)


async def services_of(request: Request) -> Services:
    """Return the services that the app was made with."""
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


@dataclass(frozen=True)
class Caller:
    """A known caller: a key's scope, and the clerk or store that the key is for."""

    name: str
    scope: Scope
    subject: str | None
    cards: CustomerCards
    #: Whether the newest plan lists a customer for a clerk.
    is_listed: Callable[[str, str], bool]
    #: Whether the service knows no keys: a demonstration on one machine.
    is_open: bool = False

    @property
    def sees_all(self) -> bool:
        """Whether rows about any customer, clerk or store may be reported."""
        return self.scope in (Scope.ADMIN, Scope.SOURCE)

    def require(self, *scopes: Scope) -> None:
        """Refuse a caller whose scope is none of `scopes`; an admin may do everything.

        Raises
        ------
        NotPermittedError
        """
        if self.scope is not Scope.ADMIN and self.scope not in scopes:
            wanted = ", ".join([*scopes, Scope.ADMIN])
            raise NotPermittedError(
                "this key may not do that",
                expected=f"a key with scope {wanted}",
                found=f"scope {self.scope}",
                next_step="ask for a key with that scope",
            )

    def may_report(self, table: str) -> None:
        """Refuse a caller who may not report rows of a table: only a source writes sales.

        Raises
        ------
        NotPermittedError
        """
        if table == SALES and self.scope is not Scope.SOURCE and not self.is_open:
            raise NotPermittedError(
                "this key may not write sales",
                expected=f"a key with scope {Scope.SOURCE}",
                found=f"scope {self.scope}",
                next_step="let the till's system report it, with a key made by "
                "`nba keys create source --name POS`",
            )

    def own_ids(self, table: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row with its order's id in the namespace of the source that reports it."""
        if table != SALES or self.scope is not Scope.SOURCE:
            return values
        return {**values, "order_id": f"{self.subject}{NAMESPACE_END}{values['order_id']}"}

    def require_clerk(self, clerk_id: str) -> None:
        """Refuse a caller who may not act for this clerk."""
        self.require(Scope.CLERK, Scope.STORE)
        if not self._sees(clerk_id, None):
            raise self._stranger("clerk", clerk_id)

    def require_customer(self, customer_id: str) -> None:
        """Refuse a caller who may not see this customer, whether the customer exists or not."""
        self.require(Scope.CLERK, Scope.STORE)
        if not self.sees_customer(customer_id):
            raise self._stranger("customer", customer_id)

    def require_external_id(self, external_id: str, customer_id: str | None) -> None:
        """Refuse a caller who may not see whom the chat platform knows by an id, or who is nobody.

        Parameters
        ----------
        external_id : str
            The refusal names it alone: it is the same for somebody else's customer and for nobody.
        customer_id : str or None
            Whose it is.

        Raises
        ------
        NotPermittedError
        """
        self.require(Scope.CLERK, Scope.STORE)
        if not self.sees_customer(customer_id or ""):
            raise self._stranger("customer", external_id)

    def sees_customer(self, customer_id: str) -> bool:
        """Return whether the caller may see this customer."""
        if self.scope is Scope.ADMIN:
            return True
        owner = self.cards.owner(customer_id)
        if owner is not None and self._sees(owner.clerk_id, owner.store_id):
            return True
        # whose action was passed on to a colleague, that colleague sees today
        return self.scope is Scope.CLERK and self.is_listed(customer_id, str(self.subject))

    def sees_store(self, store_id: str | None) -> bool:
        """Return whether the caller speaks for this store as a whole."""
        if self.scope is Scope.ADMIN:
            return True
        return self.scope is Scope.STORE and store_id == self.subject

    def require_store(self, store_id: str) -> None:
        """Refuse a caller who does not speak for this store as a whole.

        Raises
        ------
        NotPermittedError
        """
        self.require(Scope.STORE)
        if not self.sees_store(store_id):
            raise self._stranger("store", store_id)

    def _sees(self, clerk_id: str | None, store_id: str | None) -> bool:
        if self.scope is Scope.ADMIN:
            return True
        if self.scope is Scope.CLERK:
            return clerk_id == self.subject
        if self.scope is not Scope.STORE:
            return False
        if store_id is None and clerk_id is not None:
            clerk = self.cards.clerk(clerk_id)
            store_id = clerk.store_id if clerk is not None else None
        return store_id is not None and store_id == self.subject

    def _stranger(self, what: str, which: str) -> NotPermittedError:
        return NotPermittedError(
            f"this key may not see the {what} {which!r}",
            expected=f"a {what} of {self.scope} {self.subject!r}",
            next_step="use the key of the clerk or store in charge",
        )


def caller_of(request: Request, services: ServicesDep, credentials: Credentials) -> Caller:
    """Return the caller of a request, and note them for the audit log.

    Raises
    ------
    NotAuthenticatedError
        Without a valid key or token.
    TooManyWrongKeysError
        When the address has sent too many wrong ones; a valid key is served all the same.
    TooManyRequestsError
        When the key or the address makes more requests than it may.
    NotPermittedError
        In open access, from anywhere but this machine.
    """
    is_open = services.access is Access.OPEN
    if is_open:
        _require_loopback(request)
        who = Identity("open", Scope.ADMIN, None)
    else:
        _count(services, "address", _address(request))
        who = _identify(request, services, credentials)
        _count(services, "key", who.name)
    caller = Caller(
        who.name, who.scope, who.subject, services.cards, services.store.is_listed, is_open=is_open
    )
    request.state.caller = caller
    if who.customer_id is not None:
        _require_within_sidebar(request, who.customer_id)
    return caller


def _identify(request: Request, services: Services, credentials: Credentials) -> Identity:
    """Return who the credentials are of, or raise `NotAuthenticatedError`."""
    text = credentials.credentials if credentials else ""
    if services.sidebar is not None and is_sidebar_token(text):
        try:
            grant = services.sidebar.read(text)
        except NotAuthenticatedError:
            _count_wrong_key(request)
            raise
        return Identity(f"sidebar:{grant.clerk_id}", Scope.CLERK, grant.clerk_id, grant.customer_id)
    if services.sign_in is not None and is_token(text):
        try:
            return services.sign_in.identify(text)
        except NotAuthenticatedError:
            _count_wrong_key(request)
            raise
    key = services.store.verify_token(text) if text else None
    if key is not None:
        return Identity(key.key_id, key.scope, key.subject)
    if credentials is not None:
        _count_wrong_key(request)
    raise NotAuthenticatedError(
        "this call needs a valid API key",
        expected="the header `Authorization: Bearer KEY`",
        found="no key" if credentials is None else "a key that is unknown, expired or revoked",
        next_step="make a key with `nba keys create`",
    )


def _require_within_sidebar(request: Request, customer_id: str) -> None:
    """Refuse a sidebar's token whatever is not about its own customer."""
    methods = ALLOWED.get(getattr(request.scope.get("route"), "path", ""), ())
    asked = request.path_params.get("customer_id", customer_id)
    if request.method not in methods or asked != customer_id:
        raise NotPermittedError(
            "a token of the sidebar may not do that",
            expected="a call about the customer that it was made for",
            next_step="open the clerk's page",
        )


def _count(services: Services, whose: str, which: str) -> None:
    if services.limiter is not None:
        services.limiter.count(whose, which)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


CallerDep = Annotated[Caller, Depends(caller_of)]


def _count_wrong_key(request: Request) -> None:
    """Note a wrong key, and refuse an address that has sent too many."""
    address = _address(request)
    attempts: WrongKeys = request.app.state.wrong_keys
    found = attempts.note(address)
    if found is None:
        return
    if found.first:
        log().warning("too many wrong keys", address=address, seconds=found.seconds)
    raise TooManyWrongKeysError(found.seconds)


def _require_loopback(request: Request) -> None:
    """Refuse strangers, and pages of other sites that point a browser here."""
    client = _address(request)
    host = request.url.hostname or ""
    if not (is_this_machine(client) and is_this_machine(host)):
        raise NotPermittedError(
            "open access serves this machine alone",
            expected="a request from a loopback address to localhost",
            found=f"{client} to {host}",
            next_step="start the service with API keys",
        )


def is_this_machine(text: str) -> bool:
    """Return whether a host name or address is one that only this machine reaches.

    >>> [is_this_machine(host) for host in ("localhost", "127.0.0.1", "::1", "shop.example")]
    [True, True, True, False]
    """
    if text.lower() == "localhost":
        return True
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False
