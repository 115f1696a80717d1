// What happens: miners that come and go, pools that give way. Asked for only while the list is open.
import { clock, local, utc } from "./formats.js";
import { now } from "./page.js";
import { workerLink } from "./miners.js";

const BACK_SECONDS = 900; // as far as the feed tells again
const MOST = 200;

const section = document.querySelector(".happenings");
const details = document.getElementById("happenings");
const list = document.getElementById("happenings-list");
const state = document.getElementById("happenings-state");
let events = null;
let seen = 0; // the end of the last step that is shown

function line(unix, kind, words, parts) {
  const item = document.createElement("li");
  const moment = document.createElement("time");
  moment.textContent = clock(unix, true);
  moment.title = `${local(unix)} here, ${utc(unix)}`;
  const what = document.createElement("span");
  what.className = kind;
  what.textContent = words;
  const rest = document.createElement("span");
  rest.append(...parts);
  item.append(moment, what, rest);
  return [unix, item];
}

function who(one) {
  const names = one.workers.filter(Boolean).flatMap((name, index) => (index ? [", ", workerLink(name)] : [workerLink(name)]));
  return names.length ? [...names, ` from ${one.miner}`] : [one.miner];
}

function add(step) {
  seen = step.end;
  const lines = [
    ...step.connects.map((one) => line(one.time, "good", "● connected", [...who(one), `, pool ${one.pool}`])),
    ...step.disconnects.map((one) => line(one.time, "muted", "○ left", [...who(one), one.reason ? `: ${one.reason}` : ""])),
    ...step.failovers.map((one) => line(one.time, "warning", "▲ pool moved", [`${one.pool}: ${one.left} to ${one.taken}, ${one.proxy}`])),
  ];
  const untold = step.connected + step.disconnected - step.connects.length - step.disconnects.length;
  if (untold > 0) lines.push(line(step.end, "muted", `and ${untold} more`, []));
  lines.sort(([one], [other]) => one - other);
  for (const [, item] of lines) list.prepend(item);
  while (list.children.length > MOST) list.lastElementChild.remove();
  state.textContent = list.children.length ? "" : "Nothing yet: no miner came or went, and every pool is where it was.";
}

function open() {
  const after = Math.max(seen, Math.floor(now()) - BACK_SECONDS);
  events = new EventSource(`api/events?after=${after}`);
  events.addEventListener("step", (event) => add(JSON.parse(event.data)));
  events.addEventListener("outage", () => {
    state.textContent = "The database gives no answer; this goes on once it does.";
  });
  events.addEventListener("error", () => {
    state.textContent = "Connection lost, trying again";
    if (events.readyState !== EventSource.CLOSED) return;
    setTimeout(() => {
      if (details.open) open();
    }, 3000);
  });
}

section.hidden = false;
details.addEventListener("toggle", () => {
  events?.close();
  if (details.open) open();
});
