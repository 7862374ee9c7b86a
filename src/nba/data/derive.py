"""Fill in what a retailer does not deliver: derived tables, ids that only lines name.

Everything is derived from visible rows only, so that the past never sees the future.
"""

from __future__ import annotations

from datetime import timedelta

import duckdb

from nba.data import sql
from nba.data.lake import State
from nba.data.staging import NOT_SAID
from nba.schema.words import (
    CATEGORY,
    CLERK_ID,
    CONTACT_MODES,
    SERVICE_CATEGORY,
    STORE_ID,
    CategoryKind,
)

#: Local times around `NOT_SAID`, whatever the zone.
NEVER = f"TIMESTAMP '{NOT_SAID - timedelta(days=2):%Y-%m-%d}'"
ALWAYS = f"TIMESTAMP '{NOT_SAID + timedelta(days=2):%Y-%m-%d}'"
#: The table of every product's prices over time.
PRICES = "price_versions"
DEFAULT_STORE = "store_1"
DEFAULT_CLERK = "clerk_1"
#: A category is premium where its typical price is this many times that of all categories.
PREMIUM_PRICE_RATIO = 4.0
#: A category is replenishable where this share of its customers came back for it …
REPEAT_SHARE = 0.25
#: … typically within so many days; and of the kind `group` where the rhythm is this dense.
REPLENISH_DAYS = 90
GROUP_DAYS = 45
#: Columns that lines may carry for products which have no row of their own.
PRODUCT_FROM_LINES = {
    "name": "attr_product_name",
    CATEGORY: "attr_product_category",
    "brand": "attr_product_brand",
}


def given(state: State) -> frozenset[str]:
    """Return the tables of which the lake has rows."""
    return frozenset(name for name, partitions in state.tables.items() if partitions)


def fill(
    connection: duckdb.DuckDBPyConnection, prefix: str, tables: frozenset[str], limit: str
) -> None:
    """Complete the tables named `prefix…`, which hold what the lake has.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    prefix : str
    tables : frozenset of str
        The tables that the lake has rows of.
    limit : str
        SQL of the local moment before which everything visible lies.
    """
    derivation = _Derivation(connection, prefix, tables, limit)
    derivation.products()
    derivation.prices()
    derivation.categories()
    derivation.clerks_and_stores()
    derivation.customers()
    derivation.friendships()


class _Derivation:
    """The statements, with the names of one set of tables."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        prefix: str,
        tables: frozenset[str],
        limit: str,
    ) -> None:
        self.connection = connection
        self.prefix = prefix
        self.given = tables
        self.limit = limit

    def name(self, table: str) -> str:
        return sql.name(self.prefix + table)

    def run(self, statement: str) -> None:
        self.connection.execute(statement)

    def has(self, table: str, column: str) -> bool:
        rows = self.connection.execute(f"DESCRIBE {self.name(table)}").fetchall()
        return column in {row[0] for row in rows}

    def products(self) -> None:
        """Add products that only lines name; take name, category and price from the lines."""
        lines, products = self.name("transactions"), self.name("products")
        sources = [
            c for c, source in PRODUCT_FROM_LINES.items() if self.has("transactions", source)
        ]
        complete = " AND ".join(f"{column} IS NOT NULL" for column in (*sources, "price"))
        described = ", ".join(
            f"max_by({source}, (ts, {source})) FILTER (WHERE {source} IS NOT NULL) AS {column}"
            if column in sources
            else f"CAST(NULL AS VARCHAR) AS {column}"
            for column, source in PRODUCT_FROM_LINES.items()
        )
        self._of_lines("product_id", f"SELECT product_id FROM {products} WHERE {complete}")
        self.run(
            f"""CREATE OR REPLACE TEMP TABLE from_lines AS
            SELECT product_id, {described},
                max_by(unit_price, (ts, unit_price))
                    FILTER (WHERE unit_price > 0 AND quantity > 0) AS price
            FROM {lines} SEMI JOIN of_lines USING (product_id) GROUP BY ALL"""
        )
        self.run(
            f"INSERT INTO {products} (product_id) SELECT product_id FROM from_lines "
            f"WHERE product_id NOT IN (SELECT product_id FROM {products})"
        )
        sets = ", ".join(
            f"{column} = coalesce(p.{column}, f.{column})"
            for column in (*PRODUCT_FROM_LINES, "price")
        )
        self.run(
            f"UPDATE {products} AS p SET {sets} FROM from_lines AS f "
            "WHERE p.product_id = f.product_id"
        )

    def _of_lines(self, key: str, complete: str) -> None:
        """Make `of_lines`, the ids of lines but those that `complete` selects.

        One column of the lines is read for it; mostly nothing is missing, and no other.
        """
        self.run(
            "CREATE OR REPLACE TEMP TABLE of_lines AS "
            f"SELECT {key} FROM (SELECT DISTINCT {key} FROM {self.name('transactions')}) "
            f"WHERE {key} IS NOT NULL AND {key} NOT IN ({complete})"
        )

    def prices(self) -> None:
        """Give lines without a price that of their product on their day, else its last."""
        lines, given = self.name("transactions"), self.name("transactions_given")
        if not self._any(lines, "unit_price IS NULL"):
            return
        self.run(f"ALTER VIEW {lines} RENAME TO {given}")
        self.run(
            f"""CREATE VIEW {lines} AS
            SELECT * FROM {given} WHERE unit_price IS NOT NULL
            UNION ALL
            SELECT l.* REPLACE (coalesce(v.price, p.price) AS unit_price)
            FROM (SELECT * FROM {given} WHERE unit_price IS NULL) AS l
            ASOF LEFT JOIN {self.name(PRICES)} AS v
                ON l.product_id = v.product_id AND l.ts >= v.since
            LEFT JOIN {self.name("products")} AS p ON l.product_id = p.product_id"""
        )

    def _any(self, table: str, condition: str) -> bool:
        query = f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1"
        return bool(self.connection.execute(query).fetchall())

    def categories(self) -> None:
        """Add categories that only products name; derive kind and rhythm where unknown."""
        categories, products = self.name("categories"), self.name("products")
        self.run(
            f"INSERT INTO {categories} (category) SELECT DISTINCT category FROM {products} "
            f"WHERE category IS NOT NULL AND category NOT IN (SELECT category FROM {categories})"
        )
        unknown = "kind IS NULL OR replenishable IS NULL"
        if not self._any(categories, unknown):
            return
        self.run(
            f"""CREATE OR REPLACE TEMP TABLE rhythm AS
            WITH days AS (
                SELECT DISTINCT p.category, t.customer_id, CAST(t.ts AS DATE) AS day
                FROM {self.name("transactions")} AS t JOIN {products} AS p USING (product_id)
                WHERE t.customer_id IS NOT NULL AND t.quantity > 0
                    AND p.category IN (SELECT category FROM {categories} WHERE {unknown})
            ), gaps AS (
                SELECT *, day - lag(day) OVER (PARTITION BY category, customer_id ORDER BY day)
                    AS gap FROM days
            ), rates AS (
                SELECT category, median(gap) AS gap_days,
                    count(DISTINCT customer_id) FILTER (WHERE gap IS NOT NULL)
                        / count(DISTINCT customer_id) AS repeat_share
                FROM gaps GROUP BY ALL
            ), levels AS (
                SELECT category, median(price) AS price FROM {products}
                WHERE category IS NOT NULL AND category <> {sql.text(SERVICE_CATEGORY)}
                GROUP BY ALL
            )
            SELECT c.category, gap_days, repeat_share,
                l.price / (SELECT median(price) FROM levels) AS price_ratio
            FROM {categories} AS c LEFT JOIN rates USING (category)
            LEFT JOIN levels AS l USING (category)"""
        )
        returning = f"coalesce(r.repeat_share >= {REPEAT_SHARE}, false)"
        premium, group, short = (
            sql.text(str(kind))
            for kind in (CategoryKind.PREMIUM, CategoryKind.GROUP, CategoryKind.SHORT)
        )
        self.run(
            f"""UPDATE {categories} AS c SET
            kind = coalesce(c.kind, CASE
                WHEN r.price_ratio >= {PREMIUM_PRICE_RATIO} THEN {premium}
                WHEN {returning} AND r.gap_days <= {GROUP_DAYS} THEN {group}
                ELSE {short} END),
            replenishable = coalesce(c.replenishable,
                {returning} AND r.gap_days <= {REPLENISH_DAYS})
            FROM rhythm AS r WHERE c.category = r.category"""
        )

    def clerks_and_stores(self) -> None:
        """Add clerks and stores that other tables name, and one of each where there is none."""
        self._add_ids(
            "clerks",
            CLERK_ID,
            ("transactions", "customers", "friendships", "interactions", "groups"),
            DEFAULT_CLERK,
        )
        self._add_ids("stores", STORE_ID, ("transactions", "customers", "clerks"), DEFAULT_STORE)
        clerks = self.name("clerks")
        homeless = f"SELECT clerk_id FROM {clerks} WHERE store_id IS NULL"
        self.run(
            f"""UPDATE {clerks} AS c SET store_id = s.store_id FROM (
                SELECT clerk_id, mode(store_id) AS store_id FROM {self.name("transactions")}
                WHERE store_id IS NOT NULL AND clerk_id IN ({homeless}) GROUP BY ALL) AS s
            WHERE c.store_id IS NULL AND c.clerk_id = s.clerk_id"""
        )
        self.run(
            f"UPDATE {clerks} SET store_id = ({self._only('stores', 'store_id')}) "
            "WHERE store_id IS NULL"
        )
        modes = sql.texts(str(mode) for mode in CONTACT_MODES)
        self.run(
            f"UPDATE {clerks} SET minutes_per_day = coalesce(minutes_per_day, 60), "
            "working_days = coalesce(working_days, '1234567'), "
            f"modes = coalesce(modes, [{modes}])"
        )

    def _only(self, table: str, key: str) -> str:
        """SQL of the single id of a table, NULL where there are several."""
        return f"SELECT CASE WHEN count(*) = 1 THEN min({key}) END FROM {self.name(table)}"

    def _add_ids(self, table: str, key: str, others: tuple[str, ...], default: str) -> None:
        union = " UNION ".join(f"SELECT {key} AS id FROM {self.name(other)}" for other in others)
        target = self.name(table)
        self.run(
            f"INSERT INTO {target} ({key}) SELECT id FROM ({union}) WHERE id IS NOT NULL "
            f"AND id NOT IN (SELECT {key} FROM {target})"
        )
        self.run(
            f"INSERT INTO {target} ({key}) SELECT {sql.text(default)} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {target})"
        )

    def customers(self) -> None:
        """Add customers that only lines name; find clerk, store and friendship."""
        customers, lines = self.name("customers"), self.name("transactions")
        complete = (
            "clerk_id IS NOT NULL AND store_id IS NOT NULL "
            f"AND (friend_since < {ALWAYS}) IS NOT TRUE"
        )
        self._of_lines("customer_id", f"SELECT customer_id FROM {customers} WHERE {complete}")
        self.run(
            f"""CREATE OR REPLACE TEMP TABLE seen AS
            SELECT customer_id, min(ts) AS first_ts,
                max_by(clerk_id, (ts, clerk_id)) FILTER (WHERE clerk_id IS NOT NULL) AS clerk_id,
                max_by(store_id, (ts, store_id)) FILTER (WHERE store_id IS NOT NULL) AS store_id
            FROM {lines} SEMI JOIN of_lines USING (customer_id) GROUP BY ALL"""
        )
        everyone = "customers" not in self.given
        since = NEVER if everyone else "NULL"
        self.run(
            f"INSERT INTO {customers} (customer_id, joined_at, friend_since, consent_contact, "
            f"consent_profiling) SELECT customer_id, first_ts, {since}, true, true FROM seen "
            f"WHERE customer_id NOT IN (SELECT customer_id FROM {customers})"
        )
        self._friend_clerks()
        self.run(
            f"""UPDATE {customers} AS c SET
            clerk_id = coalesce(c.clerk_id, s.clerk_id), store_id = coalesce(c.store_id, s.store_id)
            FROM seen AS s WHERE c.customer_id = s.customer_id"""
        )
        self.run(
            f"UPDATE {customers} SET clerk_id = ({self._only('clerks', 'clerk_id')}) "
            "WHERE clerk_id IS NULL"
        )
        self.run(
            f"UPDATE {customers} AS c SET store_id = k.store_id FROM {self.name('clerks')} AS k "
            "WHERE c.store_id IS NULL AND c.clerk_id = k.clerk_id"
        )
        self._always_friends()

    def _friend_clerks(self) -> None:
        """Take the clerk of the running friendship where the customer's row names none."""
        self.run(
            f"""UPDATE {self.name("customers")} AS c SET clerk_id = f.clerk_id FROM (
                SELECT customer_id, max_by(clerk_id, (since, clerk_id)) AS clerk_id
                FROM {self.name("friendships")} WHERE ended_at IS NULL GROUP BY ALL) AS f
            WHERE c.clerk_id IS NULL AND c.customer_id = f.customer_id"""
        )

    def _always_friends(self) -> None:
        """Date the friendship of customers of whom no file says since when it lasts."""
        customers, lines = self.name("customers"), self.name("transactions")
        if self._any(customers, f"friend_since < {ALWAYS}"):
            self.run(
                f"""UPDATE {customers} AS c SET friend_since = coalesce(
                    c.joined_at,
                    (SELECT first_ts FROM seen AS s WHERE s.customer_id = c.customer_id),
                    (SELECT min(ts) FROM {lines} WHERE customer_id IS NOT NULL), c.friend_since)
                WHERE friend_since < {ALWAYS}"""
            )
        self.run(
            f"UPDATE {customers} SET friend_since = {self.limit} - INTERVAL 1 DAY "
            f"WHERE friend_since >= {self.limit} AND joined_at IS NULL"
        )

    def friendships(self) -> None:
        """Derive friendships from customers where there is no such table."""
        if "friendships" in self.given:
            return
        self.run(
            f"""INSERT INTO {self.name("friendships")} (customer_id, clerk_id, since)
            SELECT customer_id, clerk_id, friend_since FROM {self.name("customers")}
            WHERE friend_since < {self.limit} AND clerk_id IS NOT NULL"""
        )
