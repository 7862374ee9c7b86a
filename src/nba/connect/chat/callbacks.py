"""What WeCom tells by itself: checked, decrypted, taken once, and put where it counts.

A callback has no id of its own: the same event comes again where the answer was late, so that a
digest of all its fields says whether it came before. The bodies follow
developer.work.weixin.qq.com 90930 (signature, AES-256-CBC, PKCS#7 to 32) and 92130 (events).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from xml.etree import ElementTree

import polars as pl
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from nba.connect.chat.port import ChatPlatform
from nba.data.lake import connect
from nba.errors import ConfigError, NotPermittedError
from nba.schema.tables import VALID_FROM
from nba.schema.words import EndedBy
from nba.stores import chat
from nba.stores.database import digest
from nba.stores.operational import Writer
from nba.stores.outbox import Event
from nba.wiring import Wiring

#: Older or younger callbacks are not believed: somebody may play them again.
WINDOW: Final = timedelta(minutes=15)
#: The platform does not repeat what is older.
REMEMBERED: Final = timedelta(days=30)
#: Bytes of the largest callback that is read.
LARGEST: Final = 65_536
_BLOCK: Final = 32
_CONTACT: Final = "change_external_contact"
_GROUP: Final = "change_external_chat"
#: Which change says that a friendship ended, and by whom.
_ENDS: Final = {
    "del_external_contact": EndedBy.CLERK,
    "del_follow_user": EndedBy.CUSTOMER,
}
_BEGINS: Final = ("add_external_contact", "add_half_external_contact")


@dataclass(frozen=True)
class Envelope:
    """Signs and encrypts as the platform and the app have agreed.

    Parameters
    ----------
    token : str
    key : str
        EncodingAESKey: 43 characters.
    corp_id : str
        Whom messages are for.
    """

    token: str
    key: str
    corp_id: str

    def __repr__(self) -> str:
        return f"Envelope(corp_id={self.corp_id!r})"

    def __post_init__(self) -> None:
        try:
            size = len(base64.b64decode(self.key + "=", validate=True))
        except binascii.Error:
            size = 0
        if size != _BLOCK or not self.token:
            raise ConfigError(
                "callbacks cannot be read",
                expected="the token in NBA_CHAT_TOKEN, the EncodingAESKey (43 signs) in "
                "NBA_CHAT_KEY",
                found="no token" if not self.token else "a key of another length",
                next_step="copy both from the app's page: receive events (接收事件服务器)",
            )

    def sign(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """Return the signature of a message."""
        parts = sorted((self.token, timestamp, nonce, encrypted))
        return hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()

    def open(self, query: Mapping[str, str], encrypted: str, now: datetime) -> str:
        """Return the text of a message.

        Raises
        ------
        NotPermittedError
            Where the signature, the time or the receiver is wrong.
        """
        timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        expected = self.sign(timestamp, nonce, encrypted)
        if not hmac.compare_digest(expected, query.get("msg_signature", "")):
            raise _not_theirs("a wrong signature")
        sent_at = _moment(timestamp)
        if sent_at is None or abs(now - sent_at) > WINDOW:
            raise _not_theirs("a time outside of 15 minutes")
        return self.decrypt(encrypted)

    def decrypt(self, encrypted: str) -> str:
        """Return the text of an encrypted message for this company."""
        cipher = self._cipher().decryptor()
        try:
            padded = cipher.update(base64.b64decode(encrypted, validate=True)) + cipher.finalize()
            (length,) = struct.unpack(">I", padded[16:20])
            text = padded[20 : 20 + length].decode()
            receiver = padded[20 + length : len(padded) - padded[-1]].decode()
        except (ValueError, struct.error, IndexError):
            raise _not_theirs("a message that cannot be decrypted") from None
        if receiver != self.corp_id:
            raise _not_theirs("a message for somebody else")
        return text

    def encrypt(self, text: str) -> str:
        """Return a text as the platform encrypts it: for the played platform and tests."""
        body = text.encode()
        plain = secrets.token_bytes(16) + struct.pack(">I", len(body)) + body
        plain += self.corp_id.encode()
        missing = _BLOCK - len(plain) % _BLOCK
        cipher = self._cipher().encryptor()
        padded = plain + bytes([missing]) * missing
        return base64.b64encode(cipher.update(padded) + cipher.finalize()).decode()

    def _cipher(self) -> Cipher[modes.CBC]:
        key = base64.b64decode(self.key + "=")
        return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def envelope_of(wiring: Wiring) -> Envelope:
    """Return the envelope that a project's settings describe."""
    settings = wiring.settings.chat
    return Envelope(settings.token, settings.key, settings.corp_id)


def fields_of(text: str) -> dict[str, str]:
    """Return the fields of a flat XML message; a list's items stand together.

    >>> fields_of("<xml><Event>e</Event><MemChangeList><Item>a</Item></MemChangeList></xml>")
    {'Event': 'e', 'MemChangeList': 'a'}
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise _not_theirs("an XML that declares something")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise _not_theirs("a message that is no XML") from None
    return {
        child.tag: (child.text or "").strip() or ",".join((one.text or "").strip() for one in child)
        for child in root
    }


@dataclass
class Taken:
    """What a callback did.

    Parameters
    ----------
    event : str
    is_new : bool
        False where it came before.
    welcomed : bool
        A new friend was greeted.
    """

    event: str
    is_new: bool
    welcomed: bool = False


def take(wiring: Wiring, fields: Mapping[str, str], platform: ChatPlatform | None = None) -> Taken:
    """Take a callback: what ended counts at once, what changed is read at the next sync.

    Parameters
    ----------
    wiring : Wiring
    fields : mapping of str to str
        Of the decrypted message.
    platform : ChatPlatform, optional
        Greets new friends; None to greet nobody.
    """
    change = fields.get("ChangeType", "")
    name = f"{fields.get('Event', '')} {change}".strip()
    with wiring.plan_store.writing() as writer:
        connection = writer.connection
        # the code of a greeting is part of the event: all fields are
        if not chat.is_new_callback(connection, digest(dict(fields)), writer.now):
            return Taken(name, is_new=False)
        if fields.get("Event") == _CONTACT and fields.get("ExternalUserID"):
            _contact(wiring, writer, fields, change)
        elif fields.get("Event") == _GROUP and fields.get("ChatId"):
            chat.mark(connection, chat.GROUP, fields["ChatId"], writer.now)
        chat.forget_callbacks(connection, writer.now - REMEMBERED)
    code = fields.get("WelcomeCode", "")
    greets = bool(code and change in _BEGINS and platform and wiring.settings.chat.welcome)
    welcomed = bool(greets and platform and platform.welcome(code, greeting(wiring, fields)))
    return Taken(name, is_new=True, welcomed=welcomed)


def _contact(wiring: Wiring, writer: Writer, fields: Mapping[str, str], change: str) -> None:
    external_id, clerk = fields["ExternalUserID"], fields.get("UserID", "")
    chat.mark(writer.connection, chat.CONTACT, external_id, writer.now)
    if change not in _ENDS:
        return
    ended_at = min(_moment(fields.get("CreateTime", "")) or writer.now, writer.now)
    chat.end(writer.connection, external_id, clerk, _ENDS[change], ended_at)
    writer.accept_all(
        [
            Event("friendships", {**row, "ended_at": ended_at, "ended_by": str(_ENDS[change])})
            for row in _open_friendships(wiring, external_id, clerk)
            if row["since"] <= ended_at
        ]
    )


def _open_friendships(wiring: Wiring, external_id: str, clerk: str) -> list[dict[str, Any]]:
    """Return the open friendships of a person with a clerk, by the platform's ids."""
    lake = wiring.lake
    with connect() as connection:
        rows = connection.execute(
            f"""SELECT DISTINCT f.customer_id, f.clerk_id, f.since
            FROM ({lake.relation("friendships")}) AS f
            JOIN ({lake.relation("customers")}) AS c USING (customer_id)
            LEFT JOIN ({lake.relation("clerks")}) AS k ON k.clerk_id = f.clerk_id
            WHERE f.ended_at IS NULL AND c.external_id = $person
                AND coalesce(k.external_id, f.clerk_id) = $clerk""",
            {"person": external_id, "clerk": clerk},
        ).fetchall()
    return [
        {"customer_id": customer_id, "clerk_id": clerk_id, "since": since.astimezone(UTC)}
        for customer_id, clerk_id, since in rows
    ]


def greeting(wiring: Wiring, fields: Mapping[str, str]) -> str:
    """Return what a new friend of a clerk reads first."""
    account = fields.get("UserID", "")
    clerks = wiring.lake.polars("clerks").sort(VALID_FROM)
    mine = clerks.filter((pl.col("external_id") == account) | (pl.col("clerk_id") == account))
    row = mine.to_dicts()[-1] if mine.height else {}
    stores = wiring.lake.polars("stores").sort(VALID_FROM)
    shops = stores.filter(pl.col("store_id") == (row.get("store_id") or ""))
    store = shops["name"].to_list()[-1] if shops.height else None
    said = {"clerk": row.get("name") or "", "store": store or ""}
    return wiring.settings.chat.welcome.format(**said)


def _moment(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdecimal() else None


def _not_theirs(found: str) -> NotPermittedError:
    return NotPermittedError(
        "this is no callback of the chat platform",
        found=found,
        next_step="compare token and key with the app's page, and this machine's clock",
    )
