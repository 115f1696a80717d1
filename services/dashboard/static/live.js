// Keeps the page up to date: the server's events carry ready text, this puts it into the cells that changed.
import { duration, local } from "./formats.js";
import { charts, setClock } from "./page.js";

const COLUMNS = ["worker", "pool", "state", "connected", "hash_rate", "accepted", "rejected", "difficulty", "last_share", "best"];

const byId = (id) => document.getElementById(id);
const connection = byId("connection");
const table = byId("miners");
const rows = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.row, row]));
const cells = new Map([...document.querySelectorAll("[data-cell]")].map((cell) => [cell.dataset.cell, cell]));

let lastEvent = 0;
let link = "Live"; // how the page stands to the database, in the server's words
let patience = 10; // seconds without an event until the page calls itself stale; the server says its interval

function write(element, cell) {
  const moment = cell.unix === null ? "" : `${local(cell.unix)} here, `;
  const title = moment + cell.title;
  if (element.textContent !== cell.text) element.textContent = cell.text;
  if (element.title !== title) element.title = title;
  if (moment) element.dataset.unix = cell.unix;
  else delete element.dataset.unix;
}

function newRow(key) {
  const row = table.tBodies[0].insertRow();
  row.dataset.row = key;
  for (const column of COLUMNS) {
    const cell = row.insertCell();
    cell.className = column;
  }
  rows.set(key, row);
  return row;
}

function patch(view) {
  for (const [name, cell] of Object.entries(view.cells ?? {})) {
    const element = cells.get(name);
    if (element) write(element, cell);
  }
  for (const [key, row] of Object.entries(view.rows ?? {})) {
    const element = rows.get(key) ?? newRow(key);
    element.classList.toggle("silent", row.silent);
    COLUMNS.forEach((column, index) => write(element.cells[index], row.cells[column]));
  }
  for (const key of view.gone ?? []) {
    rows.get(key)?.remove();
    rows.delete(key);
  }
  if (view.chart) charts.get("hash-rate").show(view.chart);
  if (view.state) document.body.dataset.state = view.state;
  if (view.title) document.title = view.title;
  document.body.classList.toggle("empty", rows.size === 0);
  document.body.classList.toggle("away", view.state === "away");
}

function replace(view) {
  const gone = [...rows.keys()].filter((key) => !(key in view.rows));
  patch({ ...view, gone });
}

function heard(view) {
  lastEvent = Date.now();
  link = view.cells?.link?.text ?? link;
  setClock(view.now);
  patience = Math.max(10, 3 * view.interval_seconds);
}

function alive() {
  connection.textContent = link;
  connection.classList.toggle("live", document.body.dataset.state !== "away");
  staleness();
}

function lost(text) {
  connection.textContent = text;
  connection.classList.remove("live");
}

function staleness() {
  const silence = (Date.now() - lastEvent) / 1000;
  const stale = lastEvent > 0 && silence > patience;
  document.body.classList.toggle("stale", stale);
  if (stale) lost(`Stale: the dashboard was last heard ${duration(silence)} ago`);
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
  events.addEventListener("view", (event) => {
    const view = JSON.parse(event.data);
    heard(view);
    replace(view);
    alive();
  });
  events.addEventListener("patch", (event) => {
    const view = JSON.parse(event.data);
    heard(view);
    patch(view);
    alive();
  });
  events.addEventListener("error", () => {
    lost("Connection lost, trying again");
    // A browser gives up after an HTTP error; this page does not, unless it has to log in again.
    if (events.readyState === EventSource.CLOSED) setTimeout(again, 3000);
  });
}

connection.textContent = "Connecting";
setInterval(staleness, 1000);
listen();
