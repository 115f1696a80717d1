// What every page does: times that tick, buttons that copy, charts that can be read with the pointer.
import { Chart } from "./chart.js";
import { duration, local, utc } from "./formats.js";

// What the server drew is shown first; scripts that came early would hold it up. A page in the background is not painted.
await new Promise((painted) => {
  requestAnimationFrame(() => setTimeout(painted));
  setTimeout(painted, 300);
});

let clockOffset = 0; // the server's clock less this machine's, in seconds

// Sets the clock by the server's, so that "12 s ago" is right where this machine's is not.
export function setClock(unix) {
  clockOffset = unix - Date.now() / 1000;
}

export function now() {
  return Date.now() / 1000 + clockOffset;
}

function tick() {
  for (const element of document.querySelectorAll("[data-unix]")) {
    const text = `${duration(now() - element.dataset.unix)} ago`;
    if (element.textContent !== text) element.textContent = text;
  }
}

function localTimes(root) {
  for (const element of root.querySelectorAll("time[data-moment]")) {
    const unix = Number(element.dataset.moment);
    element.dateTime = new Date(unix * 1000).toISOString();
    element.textContent = local(unix);
    element.title = utc(unix);
  }
}

// Puts a text on the clipboard; `source` is the element that shows it, if one does.
export function copyText(text, source) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain http from another machine has no clipboard API: select the text and let the browser copy the selection.
  const shown = source ?? document.body.appendChild(document.createElement("pre"));
  if (!source) shown.textContent = text;
  getSelection().selectAllChildren(shown);
  const copied = document.execCommand("copy");
  if (!source) shown.remove();
  return copied ? Promise.resolve() : Promise.reject(new Error("copy refused"));
}

function copies(button) {
  const source = document.getElementById(button.dataset.copies);
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copyText(source.textContent, source);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => {
      button.textContent = label;
    }, 2000);
  });
}

// The charts of the page by the id of their place; `enhance` also serves what a script has put into the page later.
export const charts = new Map();

export function enhance(root = document) {
  for (const place of root.querySelectorAll("[data-chart]")) {
    if (!charts.has(place.id)) charts.set(place.id, new Chart(place, document.getElementById(`${place.id}-legend`)));
  }
  localTimes(root);
  for (const button of root.querySelectorAll("button.copy[hidden]")) copies(button);
}

enhance();
setInterval(tick, 1000);
