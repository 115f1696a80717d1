// Keeps the live page up to date: one stream of events for all of it.
import { duration, local } from "./formats.js";
import { MinerTable } from "./miners.js";
import { charts, copyText, setClock } from "./page.js";

const byId = (id) => document.getElementById(id);
const connection = byId("connection");
const pause = byId("pause");
const lostSection = document.querySelector(".lost");
const main = byId("main");
const pools = document.querySelector("[data-pools]").dataset.pools;
const cells = new Map([...document.querySelectorAll("[data-cell]")].map((cell) => [cell.dataset.cell, cell]));
const form = document.querySelector("form.filter");
const table = new MinerTable(byId("miners"), form, byId("matching"), form.querySelector(".folded"), document.querySelector(".nomatch"));

const TRENDS_SECONDS = 600;

let lastEvent = 0;
let link = "Live"; // how the page stands to the database, in the server's words
let patience = 10; // seconds without an event until the page calls itself stale; the server says its interval
let paused = false;
let waiting = []; // what came while the page was paused
let chartsAt = null; // the minute of the charts that are shown
let redrawing = false;
let trendsAt = null; // the ten minutes of the bars in the table's rows

// --- what the server says

function write(element, cell) {
  const moment = cell.unix === null ? "" : `${local(cell.unix)} here, `;
  const title = moment + cell.title;
  if (element.textContent !== cell.text) element.textContent = cell.text;
  if (element.title !== title) element.title = title;
  if (moment) element.dataset.unix = cell.unix;
  else delete element.dataset.unix;
}

function patch(view, replaces) {
  // Another pool needs another card; that happens when the configuration changes.
  if (view.pools && view.pools.join(" ") !== pools) return location.reload();
  for (const [name, cell] of Object.entries(view.cells)) {
    const element = cells.get(name);
    if (element) write(element, cell);
  }
  if (replaces) table.replace(view.miners);
  else table.patch(view.miners, view.gone);
  document.documentElement.classList.remove("starting");
  main.dataset.state = view.state;
  document.title = view.title;
  main.classList.toggle("empty", table.miners.size === 0);
  main.classList.toggle("away", view.state === "away");
  link = view.cells.link?.text ?? link;
  // The server does not let the page wait for charts that take their time.
  if (chartsAt === null) chartsAt = drawn() ? view.charts_at : 0;
  if (view.charts_at !== chartsAt && view.state !== "away" && !redrawing) redraw(view.charts_at);
  if (view.state !== "away") trends(Math.floor(view.charts_at / TRENDS_SECONDS));
  said();
}

async function trends(at) {
  if (at === trendsAt) return;
  trendsAt = at;
  try {
    const answer = await fetch("trends");
    const found = answer.ok ? await answer.json() : null;
    if (!found) throw new Error("not known yet");
    table.showTrends(found.rows);
  } catch {
    setTimeout(() => {
      trendsAt = null; // the next event asks again
    }, 10000);
  }
}

function took(name, data) {
  const view = JSON.parse(data);
  lastEvent = Date.now();
  setClock(view.now);
  patience = Math.max(10, 3 * view.interval_seconds);
  if (!paused) return patch(view, name === "view");
  if (name === "view") waiting = [];
  waiting.push([view, name === "view"]);
}

// --- how the page stands to the server

// What stands there is read aloud when it changes.
function tell(text) {
  if (connection.textContent !== text) connection.textContent = text;
}

function said() {
  tell(paused ? "Paused" : link);
  connection.classList.toggle("live", !paused && main.dataset.state !== "away");
  staleness();
}

function lost(text) {
  tell(text);
  connection.classList.remove("live");
}

function staleness() {
  const silence = (Date.now() - lastEvent) / 1000;
  const stale = lastEvent > 0 && silence > patience;
  main.classList.toggle("stale", stale);
  connection.classList.toggle("stale", stale);
  lostSection.hidden = !stale;
  if (!stale) return;
  lost("Stale");
  byId("silence").textContent = duration(silence);
}

async function again() {
  try {
    const answer = await fetch(location.href, { redirect: "manual", headers: { Accept: "text/html" } });
    if (answer.type === "opaqueredirect") return location.reload();
  } catch {
    // not there yet
  }
  listen();
}

function listen() {
  const events = new EventSource("events");
  for (const name of ["view", "patch"]) events.addEventListener(name, (event) => took(name, event.data));
  events.addEventListener("error", () => {
    if (!main.classList.contains("stale")) lost("Connection lost, trying again");
    // A browser gives up after an HTTP error; this page does not, unless it has to log in again.
    if (events.readyState === EventSource.CLOSED) setTimeout(again, 3000);
  });
}

// --- charts

const spans = [...document.querySelectorAll("a[data-span]")];

function span() {
  const asked = new URLSearchParams(location.search).get("span");
  return spans.some((one) => one.dataset.span === asked) ? asked : spans[0].dataset.span;
}

function drawn() {
  return [...charts.values()].every((chart) => chart.chart);
}

async function redraw(at) {
  redrawing = true;
  try {
    const answer = await fetch(`charts?span=${span()}`);
    const found = answer.ok ? await answer.json() : null;
    if (!found || found.span !== span()) return;
    chartsAt = at ?? chartsAt;
    for (const name of ["pools", "workers", "verdicts"]) charts.get(`${name}-chart`).show(found[name]);
  } catch {
    // the stream tells that the dashboard is away
  } finally {
    redrawing = false;
  }
}

function markSpan() {
  for (const one of spans) {
    if (one.dataset.span === span()) one.setAttribute("aria-current", "true");
    else one.removeAttribute("aria-current");
  }
}

for (const one of spans) {
  one.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const url = new URL(location.href);
    if (one === spans[0]) url.searchParams.delete("span");
    else url.searchParams.set("span", one.dataset.span);
    history.pushState(null, "", `${url.pathname}${url.search}`);
    markSpan();
    redraw();
  });
}
addEventListener("popstate", () => {
  markSpan();
  redraw();
});

// --- what people do

function setPaused(value) {
  paused = value;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  if (!paused) for (const [view, replaces] of waiting.splice(0)) patch(view, replaces);
  said();
}

pause.hidden = false;
pause.addEventListener("click", () => setPaused(!paused));
addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "p") setPaused(!paused);
  if (event.key === "/") {
    event.preventDefault();
    form.elements.q.focus();
  }
});

const csv = byId("copy-csv");
csv.addEventListener("click", async () => {
  try {
    await copyText(table.csv());
    csv.textContent = "Copied";
  } catch {
    csv.textContent = "The browser refused";
  }
  setTimeout(() => {
    csv.textContent = "Copy as CSV";
  }, 2000);
});

function stored() {
  try {
    return JSON.parse(localStorage.getItem("hidden-columns") ?? "[]");
  } catch {
    return [];
  }
}

const menu = byId("column-menu").querySelector("div");
const hidden = new Set(stored());
table.columns.forEach((column, index) => {
  if (column === "worker") return;
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = !hidden.has(column);
  label.append(box, table.labels[index]);
  menu.append(label);
  box.addEventListener("change", () => {
    table.show(column, box.checked);
    if (box.checked) hidden.delete(column);
    else hidden.add(column);
    try {
      localStorage.setItem("hidden-columns", JSON.stringify([...hidden]));
    } catch {
      // it lasts as long as the page, then
    }
  });
});
for (const column of hidden) table.show(column, false);
document.querySelector(".miners .tools").hidden = false;

// The server sent the head of the page before it knew how things are.
document.title = main.dataset.title;
connection.textContent = "Connecting";
setInterval(() => {
  staleness();
  table.draw(true); // times go on
}, 1000);
listen();
