"""Tokens of an issuer beside API keys: a real issuer on this machine, and all that is refused."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, get_args

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from tests.serving.test_envelope import is_problem

from nba.errors import UnavailableError
from nba.serving.errors import NotAuthenticatedError
from nba.serving.sign_in import KEEP_SECONDS, PAUSE_SECONDS, IssuerKeys, SignIn, read_json
from nba.settings import Oidc
from nba.stores.access import Scope
from nba.stores.database import NotAtOnceError, at_once

Client = Callable[..., TestClient]
KEYS = {name: rsa.generate_private_key(65537, 2048) for name in ("one", "two", "foreign")}


class Issuer:
    """An OpenID Connect issuer: a discovery document, a key set, and tokens."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.published = ["one"]
        self.asked = 0
        self.settings = Oidc(
            issuer=url,
            audience="nba",
            roles={"shop-admin": "admin", "manager": "store", "clerk": "clerk"},
            subject_claim="staff",
        )

    def documents(self) -> dict[str, Any]:
        keys = [
            {
                **json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[name].public_key())),
                "kid": name,
                "use": "sig",
            }
            for name in self.published
        ]
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/k"},
            "/k": {"keys": [*keys, {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}]},
        }

    def token(self, key: str = "one", alg: str = "RS256", kid: str = "", **claims: Any) -> str:
        now = datetime.now(UTC)
        content = {
            "iss": self.url,
            "aud": "nba",
            "sub": "u-17",
            "staff": "k1",
            "roles": ["clerk"],
            "exp": now + timedelta(minutes=5),
            **claims,
        }
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, KEYS[key], algorithm=alg, headers={"kid": kid or key})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            body = json.dumps(made.documents()[self.path]).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_settings_know_every_scope() -> None:
    allowed = get_args(get_args(Oidc.model_fields["roles"].annotation)[1])
    assert set(allowed) == set(Scope)


def test_who_signs_in_calls_as_the_role_says(issuer: Issuer, client: Client) -> None:
    guest = client(None, sign_in=SignIn(issuer.settings))
    lists = "/v1/clerks/{}/actions"
    clerk = bearer(issuer.token())
    assert guest.get(lists.format("k1"), headers=clerk).status_code == 200
    is_problem(guest.get(lists.format("k2"), headers=clerk), 403)
    manager = bearer(issuer.token(staff="s1", roles=["clerk", "manager"]))
    assert guest.get(lists.format("k2"), headers=manager).status_code == 200
    is_problem(guest.get(lists.format("k3"), headers=manager), 403)
    admin = bearer(issuer.token(staff=None, roles="shop-admin"))
    assert guest.get(lists.format("k3"), headers=admin).status_code == 200
    assert guest.get("/v1/clerks", headers=clerk).json()["own"] == "k1"


def test_api_keys_go_on_beside(issuer: Issuer, client: Client) -> None:
    assert client("clerk", sign_in=SignIn(issuer.settings)).get("/v1/clerks").status_code == 200


def _unsigned(token: str, alg: str) -> str:
    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    return f"{part({'alg': alg, 'kid': 'one'})}.{token.split('.')[1]}."


def _confused(issuer: Issuer) -> str:
    """Return a token signed by HMAC with the issuer's public key, which everybody has."""
    import hashlib
    import hmac

    pem = (
        KEYS["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    unsigned = _unsigned(issuer.token(), "HS256").rstrip(".")
    digest = hmac.new(pem, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


FALSE: dict[str, Callable[[Issuer], str]] = {
    "expired": lambda one: one.token(exp=datetime.now(UTC) - timedelta(minutes=2)),
    "without end": lambda one: one.token(exp=None),
    "not yet": lambda one: one.token(nbf=datetime.now(UTC) + timedelta(minutes=5)),
    "of another issuer": lambda one: one.token(iss="https://elsewhere.example"),
    "for another service": lambda one: one.token(aud="crm"),
    "for nobody": lambda one: one.token(aud=None),
    "of nobody": lambda one: one.token(sub=None),
    "signed by a stranger": lambda one: one.token("foreign", kid="one"),
    "of an unknown key": lambda one: one.token("foreign"),
    "of another algorithm": lambda one: one.token(alg="RS512"),
    "unsigned": lambda one: _unsigned(one.token(), "none"),
    "unsigned, as if signed": lambda one: _unsigned(one.token(), "RS256"),
    "by the public key as a secret": _confused,
    "by a secret of the key set": lambda one: jwt.encode(
        {"iss": one.url, "aud": "nba", "sub": "u", "exp": 2**33, "roles": "shop-admin"},
        "secret" * 6,
        algorithm="HS256",
        headers={"kid": "shared"},
    ),
    "changed": lambda one: one.token()[:-8] + "AAAAAAAA",
    "without a role": lambda one: one.token(roles=None),
    "of a role of elsewhere": lambda one: one.token(roles=["accountant"]),
    "of a clerk without an id": lambda one: one.token(staff=None),
    "of a clerk whose id is a number": lambda one: one.token(staff=17),
    "no token": lambda one: "a.b.c",
    "too long": lambda one: one.token(more="x" * 9000),
}


@pytest.mark.parametrize("how", FALSE)
def test_a_token_that_is_not_right_is_refused(how: str, issuer: Issuer, client: Client) -> None:
    guest = client(None, sign_in=SignIn(issuer.settings))
    answer = guest.get("/v1/clerks/k1/actions", headers=bearer(FALSE[how](issuer)))
    assert is_problem(answer, 401).code == "not_authenticated"


def test_an_unknown_key_is_asked_for_once_and_a_new_one_is_found(issuer: Issuer) -> None:
    now = [1000.0]
    keys = IssuerKeys(issuer.settings, clock=lambda: now[0])
    sign_in = SignIn(issuer.settings, keys)
    assert sign_in.identify(issuer.token()).subject == "k1"
    asked = issuer.asked
    assert sign_in.identify(issuer.token()).name == "oidc:u-17"
    assert issuer.asked == asked
    issuer.published = ["two"]
    for _ in range(3):  # strangers' keys make nobody ask the issuer time and again
        with pytest.raises(NotAuthenticatedError):
            sign_in.identify(issuer.token("two"))
    assert issuer.asked == asked
    now[0] += PAUSE_SECONDS
    assert sign_in.identify(issuer.token("two")).subject == "k1"
    with pytest.raises(NotAuthenticatedError):
        sign_in.identify(issuer.token("one"))


def test_while_the_issuer_is_gone_the_keys_of_before_stay(issuer: Issuer, client: Client) -> None:
    now, gone = [0.0], [True]

    def fetch(url: str) -> Any:
        if gone[0]:
            raise OSError("no route")
        return read_json(url)

    sign_in = SignIn(issuer.settings, IssuerKeys(issuer.settings, fetch, lambda: now[0]))
    with pytest.raises(UnavailableError):
        sign_in.identify(issuer.token())
    guest = client(None, sign_in=sign_in)
    is_problem(guest.get("/v1/clerks", headers=bearer(issuer.token())), 503)
    gone[0] = False
    assert sign_in.identify(issuer.token()).subject == "k1"
    gone[0], now[0] = True, KEEP_SECONDS
    assert sign_in.identify(issuer.token()).subject == "k1"


def test_an_issuer_of_another_name_or_without_tls_is_not_asked(issuer: Issuer) -> None:
    renamed = issuer.settings.model_copy(update={"issuer": issuer.url + "/"})
    with pytest.raises(UnavailableError):
        IssuerKeys(renamed).key("one")
    with pytest.raises(ValueError, match="https"):
        read_json("http://id.example.com/k")


def test_an_issuer_alone_is_no_sign_in() -> None:
    with pytest.raises(ValueError, match="audience"):
        Oidc(issuer="https://id.example.com")
    with pytest.raises(ValueError, match="HS256"):
        Oidc(algorithms=("HS256",))  # type: ignore[arg-type]


def test_the_issuer_is_not_asked_by_who_may_not_wait(issuer: Issuer) -> None:
    asked: list[str] = []

    def fetch(address: str) -> Any:
        asked.append(address)
        return read_json(address)

    keys = IssuerKeys(issuer.settings, fetch)
    with at_once(), pytest.raises(NotAtOnceError):
        keys.key("one")
    assert asked == []
    found = keys.key("one")
    with at_once():
        assert keys.key("one") is found
