"""Tokens of an OpenID Connect issuer, beside API keys: who signs in there calls as a scope here."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from nba.errors import UnavailableError
from nba.logs import log
from nba.serving.errors import NotAuthenticatedError
from nba.settings import Oidc
from nba.stores.access import Scope
from nba.stores.database import may_wait

#: Seconds for which the issuer's keys are used before they are read anew.
KEEP_SECONDS: Final = 3600.0
#: The least number of seconds between two readings, however many unknown keys are named.
PAUSE_SECONDS: Final = 30.0
#: The longest, in seconds, that the issuer is waited for.
WAIT_SECONDS: Final = 2.0
#: Seconds by which clocks may differ.
LEEWAY_SECONDS: Final = 30
#: The longest token that is looked at, in characters.
LONGEST_TOKEN: Final = 8192
#: These speak for somebody: their subject says for whom.
_SPEAK_FOR_SOMEBODY: Final = (Scope.CLERK, Scope.STORE, Scope.SOURCE)


@dataclass(frozen=True)
class Identity:
    """Who a token speaks for; `customer_id`: about this customer alone, in a sidebar."""

    name: str
    scope: Scope
    subject: str | None
    customer_id: str | None = None


def is_token(text: str) -> bool:
    """Return whether a bearer's text has the shape of a signed token, which no API key has.

    >>> is_token("eyJhbGciOi.eyJpc3Mi.c2ln"), is_token("nba_1f0c_2a9d")
    (True, False)
    """
    return text.count(".") == 2


def read_json(url: str) -> Any:
    """Return the JSON document at an address.

    Raises
    ------
    OSError, ValueError
        Where there is none, or the address is neither `https` nor on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("an issuer is asked over https alone")
    with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
        return json.load(answer)


class IssuerKeys:
    """The public keys of an issuer: read on first use, every hour, and for a key not yet known.

    Parameters
    ----------
    settings : Oidc
    fetch : callable
        Returns the JSON document at an address.
    clock : callable
        Returns seconds that only grow.

    Notes
    -----
    While the issuer does not answer, the keys that were read last stay in use.
    """

    def __init__(
        self,
        settings: Oidc,
        fetch: Callable[[str], Any] = read_json,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None

    def key(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key of an id, or None where the issuer has none.

        Raises
        ------
        UnavailableError
            When no keys could be read yet.
        """
        if self._lock.locked():  # another thread asks the issuer
            may_wait()
        with self._lock:
            age = KEEP_SECONDS if self._read_at is None else self._clock() - self._read_at
            if age >= KEEP_SECONDS or (key_id not in self._keys and age >= PAUSE_SECONDS):
                self._read()
            return self._keys.get(key_id)

    def _read(self) -> None:
        may_wait()
        try:
            self._keys = _signing_keys(self._fetch(self._address()))
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            log().error("the issuer's keys cannot be read", error=type(error).__name__)
            if not self._keys:
                raise UnavailableError(
                    "the sign-in's issuer does not answer",
                    expected="its keys, as a JSON Web Key Set",
                    next_step="try again; if it lasts, check `oidc` in nba.yaml",
                ) from error
        self._read_at = self._clock()

    def _address(self) -> str:
        if self._settings.jwks_url:
            return self._settings.jwks_url
        issuer = self._settings.issuer
        found = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found["issuer"] != issuer:
            raise ValueError("the discovery document is of another issuer")
        return str(found["jwks_uri"])


def _signing_keys(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Return the usable public keys of a key set; secrets shared with the issuer are none."""
    found: dict[str, jwt.PyJWK] = {}
    for one in document["keys"]:
        if one.get("use", "sig") == "sig" and one.get("kty") in ("RSA", "EC", "OKP"):
            found[str(one["kid"])] = jwt.PyJWK(one)
    return found


class SignIn:
    """Tells who a token speaks for: signature, algorithm, issuer, audience and time are checked.

    Parameters
    ----------
    settings : Oidc
    keys : IssuerKeys, optional
    """

    def __init__(self, settings: Oidc, keys: IssuerKeys | None = None) -> None:
        self._settings = settings
        self._keys = keys or IssuerKeys(settings)

    def identify(self, token: str) -> Identity:
        """Return who a token speaks for.

        Raises
        ------
        NotAuthenticatedError
            When it is not the issuer's, not for this service, not of now, or gives no role here.
        UnavailableError
            When the issuer's keys cannot be read.
        """
        try:
            claims = self._claims(token)
        except jwt.PyJWTError as error:
            raise _refused(type(error).__name__) from error
        scope = self._scope(claims)
        if scope is None:
            raise _refused(f"no role that this service knows in {self._settings.role_claim!r}")
        subject = claims.get(self._settings.subject_claim)
        if scope in _SPEAK_FOR_SOMEBODY and not (isinstance(subject, str) and subject):
            raise _refused(f"no text in {self._settings.subject_claim!r}")
        speaks_for = str(subject) if scope in _SPEAK_FOR_SOMEBODY else None
        return Identity(f"oidc:{claims['sub']}", scope, speaks_for)

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > LONGEST_TOKEN:
            raise jwt.InvalidTokenError("too long")
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in self._settings.algorithms:
            raise jwt.InvalidAlgorithmError("not an algorithm of this service")
        key_id = header.get("kid")
        key = self._keys.key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise jwt.InvalidKeyError("not a key of the issuer")
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=list(self._settings.algorithms),
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims

    def _scope(self, claims: Mapping[str, Any]) -> Scope | None:
        """Return the scope of the first role in the settings that the claims name."""
        given = claims.get(self._settings.role_claim)
        names: Sequence[Any] = given if isinstance(given, list) else [given]
        known = (Scope(scope) for role, scope in self._settings.roles.items() if role in names)
        return next(known, None)


def _refused(found: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        "this call needs a valid token",
        expected="a token of the sign-in for this service",
        found=found,
        next_step="sign in again",
    )
