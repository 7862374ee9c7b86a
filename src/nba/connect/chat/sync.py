"""What the platform knows, into the lake by the normal ingest: all of it, or what changed.

Nobody is counted twice and nobody is missed: rows have the key that the platform gives them, pages
that came twice are one, and what the platform no longer names has ended. It goes on naming friends
who deleted the clerk: those ends are known from its callbacks, and from what came of messages.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from nba.connect.chat.port import ChatPlatform, Contact, Group
from nba.data.identity_keys import hashed_sql, phone_sql
from nba.data.ingest import ingest
from nba.data.report import IngestReport
from nba.errors import InputRefusedError
from nba.schema.tables import LOADED_AT, VALID_FROM
from nba.stores import chat
from nba.stores.chat import OWN
from nba.wiring import Wiring

#: A full reading that lacks more than this share of the open friendships is not believed.
BELIEVED_LOSS: Final = 0.5
#: Fewer open friendships may all end at once.
FEW: Final = 20
_TIME = pl.Datetime("us", "UTC")
_CONTACTS: Final = {
    "external_id": pl.String(), "clerk": pl.String(), "since": _TIME, "name": pl.String(),
    "avatar": pl.String(), "gender": pl.String(), "union_id": pl.String(), "remark": pl.String(),
    "phone": pl.String(), "state": pl.String(), "add_way": pl.Int64(), "tags": pl.List(pl.String()),
}  # fmt: skip
_MEMBERS: Final = {"group_id": pl.String(), "external_id": pl.String(), "joined_at": _TIME}


@dataclass
class Synced:
    """What a reading of the platform came to.

    Parameters
    ----------
    full : bool
        Everything was read, not only what changed.
    contacts, groups, members, tags : int
        Friendships, groups, their outside members and tags that the platform named, each once.
    repeated : int
        Friendships that came more than once.
    new, ended : int
        Friendships that the lake did not have, and that are over.
    unknown_members : int
        Members of groups who are nobody's friend: no customers.
    calls : int
        Calls to the platform.
    loaded : dict of str to int
        Rows accepted by table.
    refused : int
        Rows that the lake refused.
    version : str
        Of the lake.
    """

    full: bool
    contacts: int = 0
    repeated: int = 0
    new: int = 0
    ended: int = 0
    groups: int = 0
    members: int = 0
    unknown_members: int = 0
    tags: int = 0
    calls: int = 0
    loaded: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    version: str = ""


def sync(
    wiring: Wiring, platform: ChatPlatform, *, full: bool, now: datetime, force: bool = False
) -> Synced:
    """Read the platform and load what it says.

    Parameters
    ----------
    wiring : Wiring
    platform : ChatPlatform
    full : bool
        Read everything; else only what callbacks named since the last reading.
    now : datetime
        Aware.
    force : bool
        Believe a full reading that lacks most friendships.

    Raises
    ------
    InputRefusedError
        Where the platform names so few that a mistake is likelier than the truth.
    """
    with wiring.plan_store.database.reading() as connection:
        last, marked = chat.marked(connection)
        ended = {(row.external_id, row.clerk): row for row in chat.ends(connection)}
        moving = chat.moving(connection)
    people = None if full else marked[chat.CONTACT]
    clerks = platform.clerks()
    found = platform.contacts(clerks) if people is None else _some(platform, people)
    contacts, repeated = _table_of(found)
    groups = list(platform.groups(None if full else marked[chat.GROUP]))
    reading = _Reading(wiring, now, clerks, contacts, groups, ended, moving)
    done = Synced(full, contacts=contacts.height, repeated=repeated, groups=len(groups))
    tables = reading.tables(None if full else (people or [], marked[chat.GROUP]), done, force=force)
    if tables:
        report = _load(wiring, tables, now)
        done.loaded = {name: one.accepted.rows for name, one in report.tables.items()}
        done.refused = sum(one.quarantined.rows for one in report.tables.values())
        done.version = report.version
    with wiring.plan_store.database.writing() as connection:
        chat.unmark(connection, last)
    return done


def _some(platform: ChatPlatform, people: Iterable[str]) -> Iterator[Contact]:
    for external_id in people:
        yield from platform.contact(external_id)


def _table_of(found: Iterable[Contact]) -> tuple[pl.DataFrame, int]:
    """Return each friendship once, the last reading of it, and how many came again."""
    rows: dict[tuple[str, str, datetime], Contact] = {}
    count = 0
    for one in found:
        rows[one.external_id, one.clerk, one.since] = one
        count += 1
    frame = pl.DataFrame([asdict(one) for one in rows.values()], schema=_CONTACTS, orient="row")
    frame = frame.with_columns(
        pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
        for name, kind in _CONTACTS.items()
        if kind == pl.String()
    )
    return frame.sort("external_id", "clerk", "since"), count - len(rows)


class _Reading:
    """One reading of the platform beside what the lake has."""

    def __init__(
        self,
        wiring: Wiring,
        now: datetime,
        clerks: Sequence[str],
        contacts: pl.DataFrame,
        groups: Sequence[Group],
        ended: dict[tuple[str, str], Any],
        moving: set[str],
    ) -> None:
        self.moving = moving
        self.wiring = wiring
        self.now = now.astimezone(UTC)
        self.groups = groups
        self.ended = ended
        lake = wiring.lake
        self.known = _newest(lake.polars("customers"), "customer_id")
        known_clerks = _newest(lake.polars("clerks"), "clerk_id")
        by_account = known_clerks.drop_nulls("external_id")
        self.clerk_ids = dict(by_account.select("external_id", "clerk_id").iter_rows())
        names = set(known_clerks["clerk_id"])
        self.new_clerks = [one for one in clerks if one not in self.clerk_ids and one not in names]
        self.clerk_ids.update({one: one for one in clerks if one not in self.clerk_ids})
        self.accounts = {clerk_id: one for one, clerk_id in self.clerk_ids.items()}
        self.contacts = contacts.with_columns(
            clerk_id=pl.col("clerk").replace_strict(self.clerk_ids, default=pl.col("clerk"))
        ).join(self._who(contacts), on="external_id")

    def _who(self, contacts: pl.DataFrame) -> pl.DataFrame:
        """Return the customer of every contact: by the lake, by an exact key, else a new one."""
        people = contacts.group_by("external_id").agg(
            pl.col("union_id").drop_nulls().first(), pl.col("phone").drop_nulls().first()
        )
        known = self.known.drop_nulls("external_id").select("external_id", "customer_id")
        identities = self.wiring.lake.polars("identities").select("kind", "value", "customer_id")
        secret = self.wiring.project.secret()
        keys = {"external_id": "external_id", "unionid": "union_id", "phone": "phone"}
        plain = {"phone": phone_sql("phone")}
        hashes = ", ".join(
            f"{hashed_sql(f'{kind!r}', plain.get(kind, column), secret)} AS {kind}_hash"
            for kind, column in keys.items()
        )
        with duckdb.connect() as connection:
            connection.register("people", people.to_arrow())
            connection.register("known", known.unique("external_id").to_arrow())
            connection.register("identities", identities.to_arrow())
            joins = " ".join(
                f"LEFT JOIN identities AS {kind}_i ON {kind}_i.kind = '{kind}' "
                f"AND {kind}_i.value = h.{kind}_hash"
                for kind in keys
            )
            found = connection.execute(
                f"""SELECT h.external_id, coalesce(k.customer_id, external_id_i.customer_id,
                    unionid_i.customer_id, phone_i.customer_id,
                    '{OWN}' || h.external_id) AS customer_id, external_id_hash, unionid_hash
                FROM (SELECT *, {hashes} FROM people) AS h
                LEFT JOIN known AS k USING (external_id) {joins}"""
            ).pl()
        self._found_keys = found
        self._known_keys = identities
        return found.select("external_id", "customer_id")

    def tables(
        self,
        part: tuple[Sequence[str], Sequence[str]] | None,
        done: Synced,
        *,
        force: bool,
    ) -> dict[str, pl.DataFrame]:
        """Return the rows of every table that changes, by table.

        Parameters
        ----------
        part : pair of sequences, optional
            The people and groups that were read; None for all of them.
        done : Synced
            Takes the counts.
        force : bool
        """
        made = {
            "clerks": self._clerks(),
            "customers": self._customers(),
            "identities": self._identities(),
            "friendships": self._friendships(part[0] if part else None, done, force=force),
            "tags": self._tags(done),
            "groups": self._groups(),
            "memberships": self._memberships(part[1] if part else None, done),
        }
        return {name: frame for name, frame in made.items() if not frame.is_empty()}

    def _clerks(self) -> pl.DataFrame:
        return pl.DataFrame({"clerk_id": self.new_clerks, "external_id": self.new_clerks})

    def _customers(self) -> pl.DataFrame:
        """Return each contact's customer: what the lake has, filled up with what is said here."""
        told = (
            self.contacts.sort("since")
            .group_by("customer_id")
            .agg(
                pl.col("external_id").first(),
                *(
                    pl.col(name).drop_nulls().first()
                    for name in ("name", "avatar", "gender", "remark", "phone", "state")
                ),
                pl.col("clerk_id").alias("clerks"),
                pl.col("clerk_id").first().alias("first_clerk"),
                pl.col("since").first().alias("friend_since"),
                pl.col("add_way").first().cast(pl.String),
            )
        )
        before = self.known.drop(LOADED_AT, VALID_FROM, strict=False)
        joined = told.join(before, on="customer_id", how="left", suffix="_before")

        def kept(name: str, fresh: pl.Expr) -> pl.Expr:
            there = f"{name}_before" if f"{name}_before" in joined.columns else name
            return pl.coalesce(pl.col(there), fresh).alias(name)

        clerk = "clerk_id"
        stays = pl.col(clerk).is_in(pl.col("clerks"))
        digits = pl.col("phone").str.replace_all(r"\D", "")
        tail = pl.when(digits.str.len_chars() >= 4).then(digits.str.tail(4))
        made = joined.with_columns(
            *(kept(name, pl.col(name)) for name in ("name", "avatar", "gender")),
            kept("alias", pl.col("remark")),
            kept("phone_tail", tail),
            pl.when(stays).then(pl.col(clerk)).otherwise(pl.col("first_clerk")).alias(clerk),
            pl.col("external_id"),
            pl.col("friend_since"),
            pl.col("add_way").alias("attr_add_way"),
            pl.col("state").alias("attr_state"),
        )
        columns = dict.fromkeys([*before.columns, "attr_add_way", "attr_state"])
        return made.select(*columns)

    def _identities(self) -> pl.DataFrame:
        """Return keys that are not kept yet."""
        rows = pl.concat(
            self._found_keys.select(
                pl.lit(kind).alias("kind"), pl.col(f"{kind}_hash").alias("value"), "customer_id"
            )
            for kind in ("external_id", "unionid")
        ).drop_nulls("value")
        once = rows.unique(["kind", "value"], keep="first", maintain_order=True)
        return once.join(self._known_keys, on=["kind", "value"], how="anti")

    def _friendships(
        self, people: Sequence[str] | None, done: Synced, *, force: bool
    ) -> pl.DataFrame:
        """Return friendships that are new, and those that are over."""
        key = ["customer_id", "clerk_id", "since"]
        there = self.wiring.lake.polars("friendships").drop(LOADED_AT)
        named = self.contacts.select(
            *key,
            "external_id",
            "clerk",
            attr_add_way=pl.col("add_way").cast(pl.String),
            attr_state="state",
        )
        ends = pl.DataFrame(
            [(one, clerk, row.ended_at, row.ended_by) for (one, clerk), row in self.ended.items()],
            schema={
                "external_id": pl.String(), "clerk": pl.String(), "told_at": _TIME,
                "told_by": pl.String(),
            },
            orient="row",
        )  # fmt: skip
        over = pl.col("told_at") >= pl.col("since")
        named = named.join(ends, on=["external_id", "clerk"], how="left").with_columns(
            ended_at=pl.when(over).then("told_at"), ended_by=pl.when(over).then("told_by")
        )
        columns = [*key, "ended_at", "ended_by", "attr_add_way", "attr_state"]
        known_open = there.filter(pl.col("ended_at").is_null())
        fresh = named.join(there, on=key, how="anti")
        told = named.filter(pl.col("ended_at").is_not_null()).join(known_open, on=key, how="semi")
        gone = self._gone(known_open, named, people)
        done.new = fresh.filter(pl.col("ended_at").is_null()).height
        done.ended = gone.height + told.height
        limit = known_open.height * BELIEVED_LOSS
        if people is None and not force and gone.height > max(limit, FEW):
            raise InputRefusedError(
                "the chat platform no longer names most of the friends",
                expected=f"more than half of the {known_open.height:,} open friendships",
                found=f"{named.height:,} friendships in all; {gone.height:,} known ones are gone",
                next_step="check the app's rights and visible range; `--force` if it is true",
            )
        return pl.concat([fresh.select(columns), told.select(columns), gone], how="diagonal")

    def _gone(
        self, known_open: pl.DataFrame, named: pl.DataFrame, people: Sequence[str] | None
    ) -> pl.DataFrame:
        """Return the ends of friendships that were read for and not found."""
        externals = self.known.drop_nulls("external_id").select("customer_id", "external_id")
        read = known_open.join(externals, on="customer_id").filter(
            pl.col("clerk_id").is_in(list(self.accounts)),
            ~pl.col("customer_id").is_in(sorted(self.moving)),
        )
        if people is not None:
            read = read.filter(pl.col("external_id").is_in(list(people)))
        key = ["customer_id", "clerk_id", "since"]
        again = named.group_by("customer_id", "clerk_id").agg(pl.col("since").max().alias("again"))
        ends = [
            (one, self.clerk_ids.get(clerk, clerk), row.ended_at, row.ended_by)
            for (one, clerk), row in self.ended.items()
        ]
        told = pl.DataFrame(
            ends,
            schema={
                "external_id": pl.String(), "clerk_id": pl.String(), "told_at": _TIME,
                "told_by": pl.String(),
            },
            orient="row",
        )  # fmt: skip
        return (
            read.drop("ended_by")
            .join(named, on=key, how="anti")
            .join(again, on=["customer_id", "clerk_id"], how="left")
            .join(told, on=["external_id", "clerk_id"], how="left")
            .with_columns(
                ended_at=pl.max_horizontal(
                    "since", pl.min_horizontal("told_at", "again", pl.lit(self.now))
                ),
                ended_by=pl.when(pl.col("told_at") >= pl.col("since")).then("told_by"),
            )
            .select(known_open.columns)
        )

    def _tags(self, done: Synced) -> pl.DataFrame:
        """Return tags that are new, and an end for those that were taken off."""
        named = (
            self.contacts.select("customer_id", pl.col("tags").alias("tag"))
            .explode("tag")
            .drop_nulls("tag")
            .unique()
        )
        done.tags = named.height
        there = self.wiring.lake.polars("tags").filter(
            (pl.col("source") == "import")
            & (pl.col("expires_at").is_null() | (pl.col("expires_at") > self.now))
        )
        moment = pl.lit(self.now).cast(_TIME)
        fresh = named.join(there, on=["customer_id", "tag"], how="anti").with_columns(
            ts=moment, source=pl.lit("import"), expires_at=pl.lit(None, _TIME)
        )
        read = self.contacts.select("customer_id").unique()
        off = (
            there.filter(pl.col("value") == OWN)
            .join(read, on="customer_id", how="semi")
            .join(named, on=["customer_id", "tag"], how="anti")
            .select("customer_id", "tag", "ts", "source", expires_at=moment)
        )
        rows = pl.concat([fresh, off.select(fresh.columns)]).with_columns(value=pl.lit(OWN))
        return rows.sort("customer_id", "tag", "ts")

    def _groups(self) -> pl.DataFrame:
        rows = [
            (one.group_id, self.clerk_ids.get(one.clerk, one.clerk), one.topic, one.created_at)
            for one in self.groups
        ]
        schema = {
            "group_id": pl.String(), "clerk_id": pl.String(), "topic": pl.String(),
            "created_at": _TIME,
        }  # fmt: skip
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _memberships(self, groups: Sequence[str] | None, done: Synced) -> pl.DataFrame:
        """Return members that are new, and an end for those who left."""
        rows = [
            (group.group_id, one.external_id, one.joined_at)
            for group in self.groups
            for one in group.members
        ]
        named = pl.DataFrame(rows, schema=_MEMBERS, orient="row").unique()
        done.members = named.height
        who = pl.concat(
            [
                self.contacts.select("external_id", "customer_id"),
                self.known.drop_nulls("external_id").select("external_id", "customer_id"),
            ]
        ).unique("external_id", keep="first", maintain_order=True)
        known = named.join(who, on="external_id")
        done.unknown_members = named.height - known.height
        key = ["group_id", "customer_id", "joined_at"]
        there = self.wiring.lake.polars("memberships").select(*key, "left_at")
        fresh = known.select(key).unique().join(there, on=key, how="anti")
        still = there.filter(pl.col("left_at").is_null())
        if groups is not None:
            still = still.filter(pl.col("group_id").is_in(list(groups)))
        else:
            still = still.filter(pl.col("group_id").is_in([one.group_id for one in self.groups]))
        moment = pl.max_horizontal("joined_at", pl.lit(self.now).cast(_TIME))
        gone = still.join(known, on=key, how="anti").with_columns(left_at=moment)
        fresh = fresh.with_columns(left_at=pl.lit(None, _TIME))
        return pl.concat([fresh, gone.select(fresh.columns)])


def _newest(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return the latest version of each row of a table that keeps its history."""
    return frame.sort(VALID_FROM).unique(key, keep="last", maintain_order=True)


def _load(wiring: Wiring, tables: dict[str, pl.DataFrame], now: datetime) -> IngestReport:
    """Load rows as any folder of tables is loaded."""
    with tempfile.TemporaryDirectory(prefix="nba-chat-") as scratch:
        for name, frame in tables.items():
            frame.write_parquet(Path(scratch) / f"{name}.parquet")
        report = ingest(
            scratch,
            wiring.lake,
            time_zone=wiring.settings.time_zone,
            now=now,
            is_increment=not wiring.lake.rows("transactions"),
            tombstones=wiring.plan_store.tombstones(),
        )
        wiring.plan_store.add_tombstone_keys(report.learned)
        return report
