"""The data report as one HTML page without scripts or outside parts."""

from __future__ import annotations

from html import escape
from typing import Any

from nba.data.report import IngestReport, TableReport

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem;width:100%}
td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.PASS{color:#176b3a}.WARN{color:#8a5a00}.FAIL{color:#a11;font-weight:600}
.bar{background:#4477aa;height:.7rem}
"""


def render(report: IngestReport) -> str:
    """Return the page."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        f"<title>Load {escape(report.load_id)}</title><style>{_STYLE}</style>",
        f"<h1>Load of {escape(report.folder)}</h1>",
        f"<p>{report.loaded_at:%Y-%m-%d %H:%M} · mapping {escape(report.mapping)} · "
        f"{report.seconds:.1f} s · {escape(report.lines()[-1])}</p>",
        "<h2>Checks</h2>",
        _rows(
            ["", "table", "check", "count", "first"],
            [
                [
                    f"<span class='{check.status}'>{check.status}</span>",
                    escape(check.table),
                    escape(check.message).replace("\n", "<br>"),
                    f"{check.count:,}" if check.count else "",
                    escape(check.first),
                ]
                for check in report.checks
            ],
        ),
        *(_table(table) for table in report.tables.values()),
        "</html>",
    ]
    return "\n".join(parts)


def _rows(head: list[str], rows: list[list[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"


def _table(table: TableReport) -> str:
    money = table.has_money
    parts = [
        f"<h2>{escape(table.name)}</h2>",
        f"<p>{escape(', '.join(table.files[:5]))}{' …' if len(table.files) > 5 else ''}</p>",
        _rows(
            ["", "rows, quantity, money"],
            [
                ["read", table.read.text(with_money=money)],
                ["accepted", table.accepted.text(with_money=money)],
                ["quarantined", table.quarantined.text(with_money=money)],
                ["new", f"{table.new:,}"],
                ["changed", f"{table.changed:,}"],
                ["unchanged", f"{table.unchanged:,}"],
                ["repeated", f"{table.repeated:,}"],
            ],
        ),
        _facts(table.facts),
        _months(table.facts.get("months", {})),
        _filled(table.facts.get("filled", {})),
    ]
    return "\n".join(part for part in parts if part)


def _facts(facts: dict[str, Any]) -> str:
    plain = {name: value for name, value in facts.items() if isinstance(value, int | str)}
    rows = [[escape(name.replace("_", " ")), escape(str(value))] for name, value in plain.items()]
    rows += [
        ["gap", escape(f"{gap['days']} days without a line until {gap['until']}")]
        for gap in facts.get("gaps", [])[:10]
    ]
    return _rows(["fact", ""], rows) if rows else ""


def _months(months: dict[str, int]) -> str:
    largest = max(months.values(), default=0)
    rows = [
        [month, f"{count:,}", f"<div class='bar' style='width:{100 * count / largest:.0f}%'></div>"]
        for month, count in months.items()
    ]
    return _rows(["month", "rows", ""], rows) if rows else ""


def _filled(filled: dict[str, float]) -> str:
    rows = [[escape(column), f"{share:.1%}"] for column, share in filled.items()]
    return _rows(["column", "filled"], rows) if rows else ""
