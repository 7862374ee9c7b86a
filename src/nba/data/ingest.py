"""Load a folder of tables into the lake: one call, one transaction.

Every table is staged and checked before the first is merged, so that a refused table commits
nothing of the call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Dict
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import duckdb

from nba.data import absence, checks, contract_keys, page, profile, quarantine
from nba.data.exports.recognise import recognise
from nba.data.exports.translate import Translated, Translation
from nba.data.folder import KINDS, Folder, SourceFile, check_folder, open_folder
from nba.data.inputs import Input
from nba.data.lake import Lake, Writer, connect
from nba.data.mapping import CANONICAL, Mapping, read_mapping
from nba.data.merge import Incoming, merge
from nba.data.prepare import Prepared, count_rows, find_inputs, note_aliases, stage_inputs
from nba.data.report import IngestReport, LoadRefusedError, Status, TableReport
from nba.data.staging import Context, reading
from nba.data.together import put_together, take_apart
from nba.data.tombstones import KEYED_TABLES, Keeper, Tombstones
from nba.errors import InputRefusedError, NbaError
from nba.files import write_text
from nba.schema.defaults import CURRENCY
from nba.schema.tables import TABLES
from nba.schema.words import CUSTOMER_ID

REQUIRED_TABLE = "transactions"


def ingest(
    folder: Path | str,
    lake: Lake,
    *,
    mapping: Mapping | str | Path | None = None,
    time_zone: str,
    now: datetime,
    check_only: bool = False,
    is_increment: bool = False,
    tombstones: Tombstones | None = None,
    currency: str = CURRENCY,
    secret: bytes = b"",
    encoding: str = "",
    dates: str = "",
) -> IngestReport:
    """Load every table that `folder` holds, or none.

    Parameters
    ----------
    folder : Path or str
    lake : Lake
    mapping : Mapping, str, Path or None
        A mapping, the name of one that ships, or a file; None for files that keep the contract
        and for exports that are known by their header.
    time_zone : str
        The project's zone, in which naive times stand unless the mapping says otherwise.
    now : datetime
        Aware; becomes `loaded_at`, and `valid_from` of rows that have none.
    check_only : bool
        Read and check everything, load nothing.
    is_increment : bool
        The folder holds rows that the caller keeps until the lake has them: it may lack
        `transactions` although the lake has none, and what is refused stands in the report's
        `refused` and not in the quarantine.
    tombstones : Tombstones, optional
        Of erased customers, whose rows are kept out and counted.
    currency : str
        The project's, for exports that name the currency of each line.
    secret : bytes
        With which the keys of customers in `identities` are hashed.
    encoding : str
        Of files of text without a mapping; empty: recognised.
    dates : str
        The order of day and month in dates without a mapping, one of
        `nba.data.readings.ORDERS`; empty: as the dates show.

    Returns
    -------
    IngestReport
        Quarantined rows alone leave `exit_code` at 0.

    Raises
    ------
    LoadRefusedError
        Where a table cannot be loaded; nothing was committed. Its `report` has all checks.
    LockHeldError
        Where another load runs.
    NbaError
        Where the lake cannot be written.
    """
    if now.tzinfo is None:
        raise ValueError("`now` needs a time zone")
    chosen = _overridden(_chosen(mapping), encoding, dates)
    started = time.monotonic()
    with _writable(lake), lake.writing() as writer:
        report = IngestReport(str(folder), chosen.name, writer.load_id, now)
        with connect(scratch=writer.scratch) as connection:
            zone = chosen.time_zone or time_zone
            context = Context(connection, chosen, zone, time_zone, now, writer.scratch)
            load = Load(context, writer, report, secret)
            load.watch(tombstones)
            if load.open(Path(folder)):
                if mapping is None:
                    load.recognise(currency, encoding, dates)
                load.run(is_increment=is_increment)
            if REQUIRED_TABLE not in writer.before.tables and REQUIRED_TABLE in report.tables:
                report.currency = report.currency or chosen.project.currency or ""
            elif (chosen.project.currency or currency) != currency:
                report.add(
                    Status.WARN,
                    "input",
                    "currency",
                    f"the mapping {chosen.name} says {chosen.project.currency}, the project's "
                    f"sales are in {currency}: no money was converted",
                )
            report.version_before = report.version = writer.before.version
            if report.failed:
                raise LoadRefusedError(report)
            profile.add(load.context, report, load.prepared)
            if is_increment:
                report.refused = quarantine.offences(connection, load.prepared)
            if not check_only:
                load.commit(keeps_quarantine=not is_increment)
            report.seconds = time.monotonic() - started
            if report.committed:
                load.write_report()
    return report


def retry(
    lake: Lake,
    *,
    mapping: Mapping | str | Path | None = None,
    time_zone: str,
    now: datetime,
    tombstones: Tombstones | None = None,
    secret: bytes = b"",
) -> IngestReport:
    """Try the quarantined rows again, with a corrected mapping or after a change of the rules.

    What is accepted now goes into the lake and leaves the quarantine, in one transaction. Lines
    of CSV that are no records stay: correct them in the file and load it again.

    Parameters
    ----------
    lake, mapping, time_zone, now, tombstones, secret
        As for `ingest`.

    Raises
    ------
    LoadRefusedError
        Where the mapping does not fit the rows; nothing changes.
    """
    chosen = _chosen(mapping)
    started = time.monotonic()
    with _writable(lake), lake.writing() as writer:
        report = IngestReport("the quarantine", chosen.name, writer.load_id, now)
        with connect(scratch=writer.scratch) as connection:
            zone = chosen.time_zone or time_zone
            context = Context(connection, chosen, zone, time_zone, now, writer.scratch)
            load = Load(context, writer, report, secret)
            load.watch(tombstones)
            held = quarantine.hold(connection, writer)
            waiting = quarantine.inputs(connection, held, writer.scratch)
            load.prepare(
                {name: partial(load.stage_again, name, rows) for name, rows in waiting.items()}
            )
            report.version_before = report.version = writer.before.version
            load.tell_shared()
            if report.failed:
                raise LoadRefusedError(report)
            load.commit(held=held)
            report.seconds = time.monotonic() - started
            load.write_report()
    return report


def _chosen(mapping: Mapping | str | Path | None) -> Mapping:
    if isinstance(mapping, Mapping):
        return mapping
    return CANONICAL if mapping is None else read_mapping(mapping)


def _overridden(mapping: Mapping, encoding: str, dates: str) -> Mapping:
    """Return a mapping with the encoding and the order of dates that were given, if any."""
    changes: dict[str, object] = {}
    if encoding:
        changes["encoding"] = encoding
    if dates:
        changes["time_formats"] = (dates,)
    return mapping.model_copy(update=changes) if changes else mapping


@contextmanager
def _writable(lake: Lake) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says what to do."""
    try:
        yield
    except (OSError, duckdb.IOException) as error:
        raise NbaError(
            f"the lake {lake.root} cannot be written",
            expected="a folder with free space and permission to write",
            found=str(error).splitlines()[0],
            next_step="make room or give permission, then repeat the load; "
            "the lake is as it was before",
        ) from error


class Load:
    """One load: what it is prepared with, its writer and report.

    Parameters
    ----------
    context : Context
    writer : Writer
    report : IngestReport
    secret : bytes
        With which the keys of customers are hashed.
    """

    def __init__(
        self, context: Context, writer: Writer, report: IngestReport, secret: bytes
    ) -> None:
        self.context = context
        self.connection = context.connection
        self.mapping = context.mapping
        self.now = context.now
        self.writer = writer
        self.report = report
        self.secret = secret
        self.prepared: list[Prepared] = []
        self.folder = Folder(Path())
        self.files: set[SourceFile] = set()
        self.exports: set[str] = set()
        self.translated: Translated | None = None
        self.unreadable: list[str] = []

    def watch(self, tombstones: Tombstones | None) -> None:
        """Keep out who was erased."""
        if tombstones is None:
            return
        lake, state = self.writer.lake, self.writer.before
        standing = " UNION ALL ".join(
            f"SELECT {CUSTOMER_ID} FROM ({lake.relation(name, state)})"
            for name in (*KEYED_TABLES, REQUIRED_TABLE)
        )
        keeper = Keeper(self.connection, tombstones, standing)
        self.report.learned = keeper.learned
        self.context = replace(self.context, keeper=keeper)

    def tell_shared(self) -> None:
        """Say who shares a key with an erased customer and was not kept out."""
        keeper = self.context.keeper
        shared = sorted(keeper.shared - keeper.aliases.keys()) if keeper else []
        if shared:
            text = (
                f"{len(shared):,} customers share a key with an erased one and are also somebody "
                "else by the tables: they were not kept out; who is the same person is to be "
                "erased too"
            )
            self.report.add(
                Status.WARN,
                "identities",
                "erased.shared",
                text,
                count=len(shared),
                first=repr(shared[0]),
            )

    def open(self, folder: Path) -> bool:
        """Look at what the folder holds; return whether it can be loaded from."""
        try:
            check_folder(folder)
        except InputRefusedError as error:
            self._refuse("input", error)
            return False
        self.folder = open_folder(folder, self.context.scratch / "opened")
        return True

    def recognise(self, currency: str, encoding: str, dates: str) -> None:
        """Look for known exports, and make tables of them.

        Parameters
        ----------
        currency, encoding, dates : str
            As for `ingest`.
        """
        context = self.context
        exports, self.unreadable = recognise(
            self.connection, self.folder, context.scratch / "headers", encoding
        )
        self.exports = {export.shown for export in exports}
        for text in self.unreadable:
            self.report.add(Status.WARN, "input", "unreadable", text, count=1)
        for export in exports:
            if export.problem:
                self.report.add(Status.FAIL, "input", "export", export.problem, count=1)
        if self.report.failed or not exports:
            return
        others = self.folder.without(self.exports)
        try:
            known = contract_keys.known(self.context, self.writer, others, self.secret)
        except InputRefusedError:
            return  # told where the table is staged
        before = self.writer.before
        is_new = REQUIRED_TABLE not in before.tables
        # the sales that are there say in which currency the next ones are
        currencies = [load["currency"] for load in before.loads if load.get("currency")]
        currency = currencies[-1] if currencies else currency
        translation = Translation(context, self.report, currency, is_new=is_new, dates=dates)
        past = self.writer.lake.relation(REQUIRED_TABLE, before)
        try:
            self.translated = translation.run(exports, known, past, self.secret)
        except InputRefusedError as error:
            self._refuse("input", error)
            return
        self.mapping = self.translated.mapping
        self.context = replace(context, mapping=self.mapping)
        self.report.mapping = self.mapping.name

    def run(self, *, is_increment: bool) -> None:
        """Stage and check every table."""
        self.prepare({name: partial(self._stage, name) for name in self.mapping.tables})
        self.tell_shared()
        if not is_increment:
            self._check_required()
        self._check_stable()
        taken = self.exports.union(*(table.files for table in self.report.tables.values()))
        checks.of_folder(self.report, self.folder.without(taken), self.mapping)
        checks.of_columns(self.report, self.prepared)
        if not self.report.failed:
            absence.add(self.connection, self.report, self.prepared, self.writer)
        if not self.mapping.time_features:
            text = "days only stand for an order: features of weekday and hour stay empty"
            self.report.add(Status.PASS, "input", "time_features", text)

    def prepare(self, stage: Dict[str, Callable[[], Prepared | None]]) -> None:
        """Stage tables, take out the rows of erased customers, count and check what is left.

        Tables that say who is who come first, so that whose rows the others hold is known.
        """
        found = {name: self._staged(name, stage) for name in KEYED_TABLES}
        if (customers := found["customers"]) is not None:
            found["identities"] = contract_keys.add(
                self.context,
                self.writer,
                self.report,
                (customers, found["identities"]),
                self.secret,
            )
        keyed = [prepared for prepared in found.values() if prepared is not None]
        note_aliases(self.context, keyed)
        done = {prepared.table.name: prepared for prepared in keyed if self._counted(prepared)}
        for name in stage:
            prepared = None if name in KEYED_TABLES else self._staged(name, stage)
            if prepared is not None and self._counted(prepared):
                done[name] = prepared
        for name in dict.fromkeys((*stage, *done)):
            if name in done:
                self._take(done[name])

    def _staged(
        self, name: str, stage: Dict[str, Callable[[], Prepared | None]]
    ) -> Prepared | None:
        try:
            return stage[name]() if name in stage else None
        except InputRefusedError as error:
            self._refuse(name, error)
        return None

    def _counted(self, prepared: Prepared) -> bool:
        try:
            count_rows(self.context, prepared)
        except InputRefusedError as error:
            self._refuse(prepared.table.name, error)
            return False
        return True

    def _stage(self, name: str) -> Prepared | None:
        others = self.folder.without(self.exports)
        inputs, rejected = find_inputs(self.context, others, TABLES[name])
        if self.translated is None:
            return stage_inputs(self.context, TABLES[name], inputs, rejected) if inputs else None
        made, own = self.translated.inputs.get(name, []), len(inputs)
        left_out = self.translated.left_out if name == REQUIRED_TABLE else []
        inputs, rejected = [*inputs, *made], [*rejected, *self.translated.rejected.get(name, [])]
        if not inputs:
            return None
        prepared = stage_inputs(self.context, TABLES[name], [*inputs, *left_out], rejected)
        if name == REQUIRED_TABLE:
            take_apart(prepared, own, self.translated.is_whole)
            # exports may overlap; equal lines of other files are lines of their own
            prepared.overlap = prepared.overlap or not own
        put_together(self.context, self.report, prepared, own)
        return prepared

    def stage_again(self, name: str, inputs: list[Input]) -> Prepared:
        """Stage rows out of the quarantine; those made `distinct` are of the contract already."""
        context = self.context
        own = context.mapping.tables.get(name)
        if own is None or own.distinct:
            context = replace(context, mapping=CANONICAL)
        return stage_inputs(context, TABLES[name], inputs, [])

    def _take(self, prepared: Prepared) -> None:
        name = prepared.table.name
        self.files.update(prepared.files)
        self.report.tables[name] = prepared.report
        checks.of_table(self.context, self.report, prepared)
        self.prepared.append(prepared)

    def _refuse(self, table: str, error: InputRefusedError) -> None:
        self.report.add(Status.FAIL, table, "refused", str(error), count=1)

    def _check_required(self) -> None:
        known = self.writer.state.tables.get(REQUIRED_TABLE)
        if REQUIRED_TABLE in self.report.tables or known or self.report.failed:
            return
        folder = self.folder.path
        names = ", ".join(sorted(path.name for path in folder.iterdir())) or "an empty folder"
        names = "; ".join([names, *self.unreadable])
        own = self.mapping.tables.get(REQUIRED_TABLE)
        if own is None:
            error = InputRefusedError(
                f"the lake has no {REQUIRED_TABLE}, and the mapping {self.mapping.name} makes none",
                expected=f"a table {REQUIRED_TABLE} in the mapping, or in the lake already",
                found=f"the tables {', '.join(self.mapping.tables)}",
                next_step=f"add {REQUIRED_TABLE} to the mapping, or load it before",
            )
            self._refuse(REQUIRED_TABLE, error)
            return
        wanted = ", ".join(own.source or ("the query's sources",))
        error = InputRefusedError(
            f"the folder {folder} has no {REQUIRED_TABLE}",
            expected=f"a file or folder of parts named {wanted} ({KINDS})"
            + (" or an export of a known system" if self.mapping.name == CANONICAL.name else ""),
            found=names,
            next_step="add the table, or choose the mapping that fits these files; "
            "`nba ingest FOLDER --suggest` drafts one",
        )
        self._refuse(REQUIRED_TABLE, error)

    def _check_stable(self) -> None:
        for file in sorted(self.files, key=lambda file: str(file.path)):
            if not file.unchanged:
                error = InputRefusedError(
                    f"the file {file.path} changed while it was read",
                    expected="files that are complete",
                    found="another size or time than at the start of the load",
                    next_step="load again when the export has ended",
                )
                self._refuse("input", error)

    def commit(self, held: str = "", *, keeps_quarantine: bool = True) -> None:
        """Merge every table and make the new version count; `held` rows leave quarantine."""
        brought = {prepared.table.name: prepared for prepared in self.prepared}
        for prepared in self.prepared:
            shown = ", ".join(prepared.report.files[:3])
            with reading(prepared.table.name, shown):
                self._merge(prepared, self.report.tables[prepared.table.name])
            checks.of_merge(self.context, self.report, prepared, (self.writer, brought))
        if keeps_quarantine:
            quarantine.keep(self.connection, self.writer, self.prepared, self.now, held)
        self._check_stable()
        if self.report.failed:
            raise LoadRefusedError(self.report)
        if self.writer.has_changes:
            state = self.writer.commit(
                {
                    "id": self.writer.load_id,
                    "at": self.now.isoformat(),
                    "folder": self.report.folder,
                    "mapping": self.report.mapping,
                    "time_features": self.mapping.time_features,
                    "currency": self.report.currency,
                }
            )
            self.report.version = state.version
        self.report.committed = True

    def _merge(self, prepared: Prepared, table: TableReport) -> None:
        own = self.mapping.tables.get(prepared.table.name)
        incoming = Incoming(
            prepared.table,
            prepared.good,
            prepared.overlap,
            prepared.unique,
            prepared.placed,
            own is not None and own.whole_orders,
            prepared.whole,
        )
        merged = merge(self.connection, self.writer, incoming, self.now)
        table.new, table.changed = merged.new, merged.changed
        table.unchanged, table.repeated = merged.unchanged, merged.repeated
        table.partitions = merged.partitions
        checks.of_filled(self.report, prepared.table.name, merged)
        if prepared.table.name == REQUIRED_TABLE:
            table.facts["equal_lines"] = merged.equal_lines
            table.facts["exact_duplicates"] = merged.exact_duplicates
            checks.of_orders(self.report, merged)

    def write_report(self) -> None:
        """Keep the report beside the lake."""
        path = self.writer.lake.root / "reports" / f"{self.writer.load_id}.json"
        write_text(path, json.dumps(self.report.to_json(), ensure_ascii=False, indent=1))
        write_text(path.with_suffix(".html"), page.render(self.report))
