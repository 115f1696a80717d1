// The pages that analyse: rows that load on, exports with progress, a heat map to point at, charts that zoom by asking.
import { clock, count, date, duration, local, rate, si } from "./formats.js";
import { enhance } from "./page.js";

const byId = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The form: moments belong to a custom period alone, and are told in local time beside the field.
const period = document.querySelector('.question select[name="period"]');
const moments = [...document.querySelectorAll("[data-moment-input]")];

function showMoments() {
  for (const input of moments) input.closest("label").hidden = period.value !== "custom";
}

function tellLocal(input) {
  const unix = Date.parse(`${input.value}Z`) / 1000;
  input.title = Number.isFinite(unix) ? `${local(unix)} here` : "";
}

if (period) {
  showMoments();
  period.addEventListener("change", () => {
    showMoments();
    const bare = moments.every((input) => !input.value);
    if (period.value === "custom" && bare) {
      const now = Date.now();
      moments.forEach((input, index) => {
        input.value = new Date(now - (1 - index) * 86400000).toISOString().slice(0, 19);
      });
    }
  });
  for (const input of moments) {
    tellLocal(input);
    input.addEventListener("input", () => tellLocal(input));
  }
  period.form.addEventListener("submit", () => {
    // What is empty, or belongs to another period, has no place in the address.
    for (const field of period.form.elements) {
      if (field.name && (!field.value || (moments.includes(field) && period.value !== "custom"))) field.disabled = true;
    }
  });
  addEventListener("pageshow", () => {
    for (const field of period.form.elements) field.disabled = false;
  });
}

const permalink = byId("permalink");
if (permalink) permalink.textContent = new URL(permalink.textContent, location.href).href;

// A search as one types narrows what is listed; the server looks further.
for (const field of document.querySelectorAll("input[data-filters]")) {
  const rows = document.getElementById(field.dataset.filters)?.tBodies[0].rows ?? [];
  field.addEventListener("input", () => {
    const part = field.value.toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(part);
  });
}

// Rows: the link to the next page becomes the rows of it.
async function loadMore(link) {
  const row = link.closest("tr");
  link.textContent = "Loading";
  link.setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch(link.dataset.more);
    // The session has ended: the page itself leads to the login, and back.
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `status ${answer.status}`);
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text(); // the dashboard's own page, escaped there
    const first = holder.content.querySelector("a");
    enhance(holder.content);
    row.replaceWith(holder.content);
    first?.focus({ preventScroll: true });
  } catch (error) {
    link.textContent = `Not loaded: ${error.message} Try again`;
    link.removeAttribute("aria-disabled");
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-more]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!link.hasAttribute("aria-disabled")) loadMore(link);
});

// Exports: the browser downloads the file itself; the page asks the server how far it is.
const box = byId("export-progress");

function tell(text, done, failed = false) {
  box.hidden = false;
  box.classList.toggle("failed", failed);
  box.lastElementChild.textContent = text;
  const bar = box.firstElementChild;
  if (done === null) bar.removeAttribute("value");
  else bar.value = done;
}

async function follow(root, id) {
  const began = Date.now();
  let last = began;
  for (;;) {
    const answer = await fetch(`${root}api/exports/${id}`);
    if (answer.status === 401) return location.reload();
    if (answer.ok) {
      last = Date.now();
      const { state, reason, rows_total: total, rows_done: rows, bytes_sent: bytes } = await answer.json();
      const size = si(bytes, "B");
      if (state === "unknown") {
        if (last - began > 15000) return tell("The export did not begin: the dashboard may be busy with others.", 0, true);
      } else if (state === "counting") tell("Counting the shares", null);
      else if (state === "running") tell(`${count(rows)} of ${count(total)} shares, ${size}, ${duration((Date.now() - began) / 1000)}`, total ? rows / total : 1);
      else if (state === "done") return tell(`Done: ${count(rows)} shares, ${size}.`, 1);
      else return tell(`${reason} ${count(rows)} of ${count(total ?? 0)} shares had been sent.`, 0, true);
    }
    if (Date.now() - last > 30000) return tell("The dashboard no longer says how far the export is.", 0, true);
    await pause(400);
  }
}

for (const link of document.querySelectorAll("a[data-export]")) {
  link.addEventListener("click", () => {
    const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
    const address = new URL(link.href);
    address.searchParams.set("id", id);
    const before = link.href;
    link.href = address.href;
    setTimeout(() => {
      link.href = before;
    });
    tell("Counting the shares", null);
    follow(link.dataset.export, id).catch(() => tell("The dashboard gives no answer.", 0, true));
  });
}

// The heat map: the pointer tells the worker's rate at that time.
const span = (unix, step) => (step >= 86400 ? date(unix) : `${date(unix)} ${clock(unix)}`);
for (const table of document.querySelectorAll("table.heat")) {
  const [start, step] = [Number(table.dataset.start), Number(table.dataset.step)];
  for (const moment of table.querySelectorAll("time[data-short]")) moment.textContent = span(Number(moment.dataset.short), step);
  const legend = byId("heat-legend");
  table.addEventListener("pointermove", (event) => {
    const drawing = event.target.closest("svg");
    if (!drawing) return;
    const row = drawing.closest("tr");
    const rates = JSON.parse(row.dataset.rates);
    const box = drawing.getBoundingClientRect();
    const index = Math.min(rates.length - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * rates.length)));
    const at = start + index * step;
    legend.textContent = `${row.cells[0].textContent}, ${span(at, step)} to ${clock(at + step)}: ${rates[index] ? rate(rates[index]) : "no accepted share"}`;
  });
  table.addEventListener("pointerleave", () => {
    legend.textContent = "";
  });
}

// A range dragged open in a chart becomes the period: the page is asked for again, with finer steps.
document.addEventListener("rangechosen", (event) => {
  if (!event.detail) return;
  const { from, to } = event.detail;
  if (to - from < 10) return;
  event.preventDefault();
  const address = new URL(location.href);
  const written = (unix) => new Date(Math.round(unix) * 1000).toISOString().slice(0, 19);
  address.searchParams.set("period", "custom");
  address.searchParams.set("from", written(from));
  address.searchParams.set("to", written(to));
  address.searchParams.delete("after");
  location.assign(address);
});
