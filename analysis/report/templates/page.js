"use strict";
// A dot shows its run on hover and focus, and the run's dots in all figures are marked. Tab reaches one dot of a
// figure, and the arrow keys reach the others from there, from left to right.
const tooltip = document.createElement("div");
tooltip.id = "tooltip"; tooltip.hidden = true; tooltip.setAttribute("role", "status");
document.body.append(tooltip);
const dots = new Map();
let lit = [];
function show(dot) {
  lit.forEach((other) => other.classList.remove("lit"));
  lit = dot ? dots.get(dot.dataset.run) : [];
  lit.forEach((other) => other.classList.add("lit"));
  tooltip.hidden = !dot;
  if (!dot) return;
  tooltip.textContent = dot.dataset.run;
  const at = dot.getBoundingClientRect();
  const left = at.x + at.width / 2 - tooltip.offsetWidth / 2;
  tooltip.style.left = Math.max(8, Math.min(left, document.documentElement.clientWidth - tooltip.offsetWidth - 8)) + "px";
  const above = at.y - tooltip.offsetHeight - 8;
  tooltip.style.top = (above > 0 ? above : at.bottom + 8) + "px";
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
