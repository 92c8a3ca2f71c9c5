"""The page around the report's body: its looks, and the little script that sorts the runs and names a dot's run."""

import base64
import hashlib
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #202124; --paper: #ffffff; --soft: #5f6368; --line: #dadce0;
  --card: #f6f7f8; --mark: #d55e00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #17181a; --soft: #a8adb3; --line: #3c4043; --card: #202225; }
  figure svg { filter: brightness(1.25); }
}
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; max-width: 76rem;
  margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0; }
p, li { max-width: 62rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.15rem; background: var(--card); border-left: 4px solid var(--mark); padding: .8rem 1rem; }
.soft { color: var(--soft); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 29rem), 1fr)); gap: 2rem 2.5rem; }
figure { margin: 0; min-width: 0; display: grid; grid-row: span 4; grid-template-rows: subgrid; gap: 0; }
figure svg { display: block; width: 100%; max-width: 44rem; height: auto; color: var(--soft); overflow: visible; }
figcaption { margin: .2rem 0 .8rem; overflow-wrap: anywhere; }
figure .soft { font-size: .85rem; margin: .4rem 0; }
.run { cursor: pointer; outline: none; }
.run use, .run path { pointer-events: all; }
.run.lit use, .run.lit path { stroke: var(--ink) !important; stroke-width: 3px !important; }
#told { position: fixed; z-index: 1; max-width: min(22rem, calc(100vw - 1rem)); padding: .3rem .6rem; font-size: .85rem;
  color: var(--paper); background: var(--ink); border-radius: 4px; pointer-events: none; overflow-wrap: anywhere; }
#told[hidden] { display: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible, .wide:focus-visible { outline: 2px solid var(--mark); }
th[aria-sort="ascending"] button::after { content: " \\25B2"; }
th[aria-sort="descending"] button::after { content: " \\25BC"; }
pre { background: var(--card); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }
code { overflow-wrap: anywhere; }
.laws td:nth-child(3) { text-align: left; white-space: normal; min-width: 20rem; }
@media (max-width: 40rem) { body { padding: .75rem; } .verdict { font-size: 1.05rem; padding: .6rem .8rem; } }
@page { margin: 14mm; }
@page wide { size: A4 landscape; margin: 10mm; }
@media print {
  :root { color-scheme: light; --ink: #000000; --paper: #ffffff; --soft: #45484c; --line: #c4c7ca; --card: #f2f2f2; }
  body { font-size: 10pt; max-width: none; padding: 0; }
  figure svg { filter: none; max-width: 14cm; }
  .figures { display: block; } figure { display: block; break-inside: avoid; margin-bottom: 1.2rem; }
  h2, h3, thead { break-after: avoid; } tr, .verdict { break-inside: avoid; }
  .runs { page: wide; } .runs table { font-size: 8pt; } .runs th, .runs td { padding: .1rem .3rem; }
  .wide, pre { overflow: visible; } pre { white-space: pre-wrap; } td { white-space: normal; }
  #told { display: none; } .run.lit use, .run.lit path { stroke: none !important; }
}
"""

_SCRIPT = """
"use strict";
// A dot tells its run on hover and focus, and the run's dots in all figures are marked. One dot of a figure is
// reached by Tab, the others from there by the arrow keys, from left to right.
const told = document.createElement("div");
told.id = "told"; told.hidden = true; told.setAttribute("role", "status");
document.body.append(told);
const dots = new Map();
let lit = [];
function show(dot) {
  lit.forEach((other) => other.classList.remove("lit"));
  lit = dot ? dots.get(dot.dataset.run) : [];
  lit.forEach((other) => other.classList.add("lit"));
  told.hidden = !dot;
  if (!dot) return;
  told.textContent = dot.dataset.run;
  const at = dot.getBoundingClientRect();
  const left = at.x + at.width / 2 - told.offsetWidth / 2;
  told.style.left = Math.max(8, Math.min(left, document.documentElement.clientWidth - told.offsetWidth - 8)) + "px";
  const above = at.y - told.offsetHeight - 8;
  told.style.top = (above > 0 ? above : at.bottom + 8) + "px";
}
for (const figure of document.querySelectorAll("figure")) {
  const own = [...figure.querySelectorAll(".run")];
  own.forEach((dot, number) => {
    const title = dot.querySelector("title");
    dot.dataset.run = title.textContent;
    dot.setAttribute("aria-label", title.textContent);
    dot.setAttribute("role", "img");
    dot.setAttribute("tabindex", number ? -1 : 0);
    title.remove();
    dots.set(dot.dataset.run, [...(dots.get(dot.dataset.run) || []), dot]);
    dot.addEventListener("pointerenter", () => show(dot));
    dot.addEventListener("pointerleave", () => show(null));
    dot.addEventListener("focus", () => show(dot));
    dot.addEventListener("blur", () => show(null));
  });
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") show(null);
    if (!step || !event.target.classList.contains("run")) return;
    event.preventDefault();
    const place = (dot) => dot.getBoundingClientRect();
    const order = [...own].sort((a, b) => place(a).x - place(b).x || place(a).y - place(b).y);
    const next = order[(order.indexOf(event.target) + step + order.length) % order.length];
    event.target.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}
// A column's head sorts by it, and once more the other way; cells without a value stay last.
function order(column, up) {
  const value = (row) => row.cells[column].textContent;
  const number = (text) => Number(text.replaceAll(",", ""));
  return (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1);
    const [x, y] = [number(a), number(b)];
    const sign = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
    return up ? sign : -sign;
  };
}
for (const head of document.querySelectorAll("th[aria-sort]")) {
  head.querySelector("button").addEventListener("click", () => {
    const up = head.ariaSort !== "ascending";
    for (const other of head.parentNode.cells) other.ariaSort = "none";
    head.ariaSort = up ? "ascending" : "descending";
    const body = head.closest("table").tBodies[0];
    body.append(...[...body.rows].sort(order(head.cellIndex, up)));
  });
}
"""


def page(title: str, body: str) -> str:
    """The whole page. Its policy lets the browser load nothing and run no script but this one.

    Args:
        title: plain text.
        body: HTML, escaped where it has to be.
    """
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
<script>{_SCRIPT}</script>
</body>
</html>
"""
