// Keeps the page up to date: the server's events carry ready text, this puts it into the cells that changed.
import { Chart } from "./chart.js";

const COLUMNS = ["worker", "pool", "state", "connected", "hash_rate", "accepted", "rejected", "difficulty", "last_share", "best"];

const byId = (id) => document.getElementById(id);
const connection = byId("connection");
const table = byId("miners");
const chart = new Chart(byId("plot"), byId("readout"));
const rows = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.row, row]));
const cells = new Map([...document.querySelectorAll("[data-cell]")].map((cell) => [cell.dataset.cell, cell]));

let clockOffset = 0; // the server's clock less this machine's, in seconds
let lastEvent = 0;
let link = "Live"; // how the page stands to the database, in the server's words
let patience = 10; // seconds without an event until the page calls itself stale; the server says its interval

function write(element, cell) {
  const moment = cell.unix === null ? "" : `${new Date(cell.unix * 1000).toLocaleString()} here, `;
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
  if (view.chart) chart.show(view.chart);
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
  clockOffset = view.now - lastEvent / 1000;
  patience = Math.max(10, 3 * view.interval_seconds);
}

function alive() {
  connection.textContent = link;
  connection.classList.toggle("live", document.body.dataset.state !== "away");
  tick();
}

function lost(text) {
  connection.textContent = text;
  connection.classList.remove("live");
}

function ago(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole >= 172800) return `${Math.floor(whole / 86400)} d ago`;
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ago`;
  if (whole >= 120) return `${Math.floor(whole / 60)} min ago`;
  return `${whole} s ago`;
}

function tick() {
  const now = Date.now() / 1000 + clockOffset;
  for (const element of document.querySelectorAll("[data-unix]")) {
    const text = ago(now - element.dataset.unix);
    if (element.textContent !== text) element.textContent = text;
  }
  const silence = (Date.now() - lastEvent) / 1000;
  const stale = lastEvent > 0 && silence > patience;
  document.body.classList.toggle("stale", stale);
  if (stale) lost(`Stale: the dashboard was last heard ${ago(silence)}`);
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
    // A browser gives up after an HTTP error; this page does not.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

function copyText(text, source) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain http from another machine has no clipboard API: select the text and let the browser copy the selection.
  getSelection().selectAllChildren(source);
  return document.execCommand("copy") ? Promise.resolve() : Promise.reject(new Error("copy refused"));
}

for (const button of document.querySelectorAll("button.copy")) {
  const source = byId(button.dataset.copies);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copyText(source.textContent, source);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  });
}

connection.textContent = "Connecting";
setInterval(tick, 1000);
listen();
