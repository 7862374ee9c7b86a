"""Keys that tables of the contract bring: by e-mail and phone `customers` may say who is who.

The lake keeps them in `identities` alone, hashed. The chat platform's id stands in `customers` and
joins exports from there; it becomes a row of `identities` once an export was joined by it.
"""

from __future__ import annotations

from nba.data import keys, sql
from nba.data.folder import Folder
from nba.data.identity_keys import customer_keys_sql
from nba.data.inputs import FILE, LINE, RowsInput
from nba.data.lake import Writer
from nba.data.mapping import CANONICAL
from nba.data.prepare import Prepared, find_inputs, stage_inputs
from nba.data.report import IngestReport, Status
from nba.data.staging import Context
from nba.schema.tables import TABLES
from nba.schema.words import CUSTOMER_ID

_CUSTOMERS, _IDENTITIES = TABLES["customers"], TABLES["identities"]
_KEY = ("kind", "value")


def known(context: Context, writer: Writer, folder: Folder, secret: bytes) -> str:
    """Return the relation of the keys by which the lake and a folder's `customers` know people.

    Its columns are kind, value, customer_id (NULL: the key is nobody's) and `is_kept`. What
    `identities` says of a key counts; of what else names it, two customers make it nobody's.

    Parameters
    ----------
    context : Context
        Its mapping is that of files which keep the contract.
    writer : Writer
    folder : Folder
    secret : bytes
        Keys are hashed with it.

    Raises
    ------
    InputRefusedError
        Where `customers` cannot be read.
    """
    standing = writer.lake.relation("identities", writer.before)
    customers = f"({writer.lake.relation('customers', writer.before)})"
    found = [customer_keys_sql(customers, (CUSTOMER_ID, "external_id"), secret)]
    for incoming in find_inputs(context, folder, _CUSTOMERS)[0]:
        source = incoming.source()
        present = [
            name
            for name in (CUSTOMER_ID, "external_id", *(one.name for one in _CUSTOMERS.known_by))
            if name in source.columns
        ]
        cells = ", ".join(f"trim(CAST({name} AS VARCHAR)) AS {name}" for name in present)
        found.append(customer_keys_sql(f"(SELECT {cells} FROM {source.relation})", present, secret))
    named = " UNION ALL ".join(part for part in found if part)
    context.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE contract_keys AS
        SELECT kind, value, customer_id, true AS is_kept FROM ({standing})
        UNION ALL SELECT kind, value, {_one()}, false FROM ({named}) AS n
        ANTI JOIN ({standing}) AS s USING (kind, value) GROUP BY kind, value"""
    )
    return "contract_keys"


def add(
    context: Context,
    writer: Writer,
    report: IngestReport,
    staged: tuple[Prepared, Prepared | None],
    secret: bytes,
) -> Prepared | None:
    """Add the e-mail addresses and phone numbers of staged customers to `identities`.

    A key that two of the customers have is kept as nobody's. What the lake, or the load's own
    `identities`, says of a key stays.

    Parameters
    ----------
    context : Context
    writer : Writer
    report : IngestReport
        Takes what needs a look.
    staged : (Prepared, Prepared or None)
        The load's customers and identities.
    secret : bytes
        Keys are hashed with it.
    """
    customers, identities = staged
    columns = customers.columns & {CUSTOMER_ID, *(one.name for one in _CUSTOMERS.known_by)}
    named = customer_keys_sql(customers.good, columns, secret)
    if not named:
        return identities
    run, count = context.connection.execute, keys.single_number
    run(
        f"""CREATE OR REPLACE TEMP TABLE brought AS
        SELECT kind, value, {_one()} FROM ({named}) GROUP BY kind, value"""
    )
    standing = f"({writer.lake.relation('identities', writer.before)})"
    others = count(
        context.connection,
        f"SELECT count(*) FROM brought AS b JOIN {standing} AS s USING (kind, value) "
        "WHERE s.customer_id <> b.customer_id",
    )
    shared = count(context.connection, "SELECT count(*) FROM brought WHERE customer_id IS NULL")
    said = [standing] + ([f"(SELECT kind, value FROM {identities.rows})"] if identities else [])
    for rows in said:
        run(f"DELETE FROM brought WHERE (kind, value) IN (SELECT (kind, value) FROM {rows})")
    if count(context.connection, "SELECT count(*) FROM brought"):
        identities = _with(context, identities)
    texts = {
        "shared": (shared, "e-mail addresses or phone numbers belong to several customers and "
                   "join nobody"),
        "others": (others, "e-mail addresses or phone numbers are another customer's by "
                   "`identities` and stay theirs"),
    }  # fmt: skip
    for name, (number, text) in texts.items():
        if number:
            line = f"{number:,} {text}"
            report.add(Status.WARN, "customers", f"keys.{name}", line, count=number)
    return identities


def _with(context: Context, identities: Prepared | None) -> Prepared:
    """Stage what was brought as rows of `identities`, beside those that are."""
    own = Context(
        context.connection, CANONICAL, context.zone, context.home, context.now,
        context.scratch / "keys", context.keeper,
    )  # fmt: skip
    own.scratch.mkdir(exist_ok=True)
    target = own.scratch / "brought.parquet"
    context.connection.execute(
        f"COPY (SELECT *, 'customers' AS {FILE}, row_number() OVER () AS {LINE} FROM brought "
        f"ORDER BY kind, value) TO {sql.text(str(target))} (FORMAT parquet, COMPRESSION lz4)"
    )
    made = stage_inputs(own, _IDENTITIES, [RowsInput(target, [*_KEY, CUSTOMER_ID])], [])
    if identities is None:
        return made
    identities.staged += made.staged
    return identities


def _one() -> str:
    """SQL of the one customer of a group; NULL where there are two."""
    lowest, highest = f"min({CUSTOMER_ID})", f"max({CUSTOMER_ID})"
    return f"CASE WHEN {lowest} = {highest} THEN {lowest} END AS {CUSTOMER_ID}"
