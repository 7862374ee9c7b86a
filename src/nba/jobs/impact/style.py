"""How the page looks: readable on a phone, on paper and in the dark."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--ink:#1d2733;--soft:#5b6875;--line:#dde3e9;--paper:#fff;--back:#f4f6f8;--up:#12805c;
--down:#b3372f;--open:#8a6d1d;--fill:#3d6fb6}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf2;--soft:#a0acb8;--line:#33404d;
--paper:#1b232c;--back:#12181f;--up:#4cc79a;--down:#f0857c;--open:#d9b650;--fill:#7aa5e0}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","PingFang SC","Noto Sans CJK SC",
"Microsoft YaHei",sans-serif}
main{max-width:1040px;margin:0 auto;padding:20px 16px 60px}
header,section{background:var(--paper);border:1px solid var(--line);border-radius:10px;
padding:18px 22px;margin-bottom:14px}
.span{margin:0;color:var(--soft)}.span a{float:right;color:inherit}
h1{font-size:30px;line-height:1.2;margin:10px 0 6px;text-wrap:balance}
h1.earned,.up{color:var(--up)}h1.cost,.down{color:var(--down)}h1.open,.open{color:var(--open)}
header p{margin:2px 0}.alarm{color:var(--down)}
h2{font-size:18px;margin:0 0 10px}h3{font-size:14px;margin:16px 0 4px;color:var(--soft)}
.note,small{color:var(--soft);font-size:12.5px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;
margin-top:14px}
.facts div{border-left:3px solid var(--line);padding-left:10px}
.facts b{display:block;font-size:20px;font-variant-numeric:tabular-nums}
.facts span{color:var(--soft);font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px}
.card{border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.card span{display:block;color:var(--ink)}.card b{font-size:26px}.card small{display:block}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:600;font-size:12.5px;color:var(--soft);text-align:left;vertical-align:bottom}
th,td{padding:6px 8px;border-bottom:1px solid var(--line)}
th.n,td.n{text-align:right}td small{white-space:nowrap}
section{overflow-x:auto}
.strip{width:220px;height:22px;display:block;margin-left:auto}
.strip .zero{stroke:var(--soft);stroke-width:1.5}
.strip .reach{stroke-width:4;stroke-linecap:round}
.strip .reach.up{stroke:var(--up)}.strip .reach.down{stroke:var(--down)}
.strip .reach.open{stroke:var(--open)}
.strip .dot{stroke:var(--paper);stroke-width:1.5}
.strip .dot.up{fill:var(--up)}.strip .dot.down{fill:var(--down)}.strip .dot.open{fill:var(--open)}
.funnel{list-style:none;margin:0 0 12px;padding:0}
.funnel li{display:grid;grid-template-columns:110px 1fr;gap:10px;align-items:center;
padding:3px 0}
.bar{display:inline-block;width:62%;min-width:80px;height:14px;background:var(--back);
border-radius:4px;overflow:hidden;vertical-align:middle}
td .bar{width:140px}
.fill{display:block;height:100%;background:var(--fill)}
.bar-label{color:var(--soft);font-size:13px;margin-left:8px}
.tag{background:var(--down);color:var(--paper);border-radius:8px;padding:0 8px;font-size:12px}
details summary{cursor:pointer;color:var(--soft)}
@media(max-width:640px){h1{font-size:23px}.funnel li{grid-template-columns:80px 1fr}
.bar{width:40%}.strip{width:140px}}
@media print{body{background:#fff}header,section{break-inside:avoid;border-color:#ccc}}
"""
