// A miner's row as text; miner_cells.py writes the same on the server.
import { count, duration, exact, local, percent, rate, si, utc } from "./formats.js";
import { now } from "./page.js";

// As trends.py: heights of a bar for each of 24 hours.
const LEVELS = "0123456789abcdefghijklmnopqrstuvwxyz";
const HIGHEST = LEVELS.length - 1;

export function trendPath(heights) {
  return [...heights].map((level, hour) => [hour, LEVELS.indexOf(level)]).filter(([, height]) => height > 0)
    .map(([hour, height]) => `M${hour} ${HIGHEST}v-${height}h.8v${height}z`).join("");
}

export function trendWords(best) {
  return `24 h by the hour, at most ${rate(best)}`;
}

// The fields of a row, in the order of the server's arrays (miners.py).
const FIELDS = ["worker", "pool", "state", "hash_rate", "accepted", "rejected", "pool_difficulty", "difficulty", "last_share", "best", "user_agent", "connected", "address", "connections"];
const SHAPES = { active: "●", waiting: "○", silent: "▲", left: "○" };
export const NO_NAME = "(no name yet)";

export function miner(array) {
  const one = Object.fromEntries(FIELDS.map((name, index) => [name, array[index]]));
  one.connections = one.connections.map(miner);
  one.refused = Object.values(one.rejected).reduce((sum, number) => sum + number, 0);
  one.searched = [one.worker, one.address, ...one.connections.map((other) => other.address), one.user_agent].join(" ").toLowerCase();
  return one;
}

function rejectedWords(one) {
  if (one.refused === 0) return "0";
  const ordered = Object.entries(one.rejected).sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return `${count(one.refused)} (${ordered.map(([reason, number]) => `${reason.replaceAll("_", " ")} ${count(number)}`).join(", ")})`;
}

const difficulty = (value) => (value ? [si(value), exact(value)] : ["–", "Not known"]);
const ago = (unix, none) => (unix ? [`${duration(now() - unix)} ago`, `${local(unix)} here, ${utc(unix)}`] : [none, ""]);

// By column: the text, and what hovering over it says.
export const CELLS = {
  worker: (one) => [one.worker || NO_NAME, one.address || one.connections.map((other) => other.address).join(", ")],
  pool: (one) => [one.pool, ""],
  state: (one) => [`${SHAPES[one.state]} ${one.state}${one.connections.length ? ` ×${one.connections.length}` : ""}`, ""],
  hash_rate: (one) => [rate(one.hash_rate), `${exact(one.hash_rate)} H/s`],
  accepted: (one) => [count(one.accepted), one.accepted.toLocaleString("en")],
  rejected: (one) => [rejectedWords(one), rejectedWords(one)],
  rate: (one) => [percent(one.accepted, one.accepted + one.refused), `${one.refused.toLocaleString("en")} of ${(one.accepted + one.refused).toLocaleString("en")} refused`],
  pool_difficulty: (one) => difficulty(one.pool_difficulty),
  difficulty: (one) => difficulty(one.difficulty),
  last_share: (one) => ago(one.last_share, "none"),
  best: (one) => [si(one.best), exact(one.best)],
  user_agent: (one) => [one.user_agent || "–", one.user_agent],
  connected: (one) => ago(one.connected, "no"),
};

const STATES = ["active", "waiting", "silent", "left"];

// What a column is sorted by.
export const KEYS = {
  worker: (one) => one.worker.toLowerCase(),
  rejected: (one) => one.refused,
  rate: (one) => one.accepted / Math.max(1, one.accepted + one.refused),
  state: (one) => STATES.indexOf(one.state),
};
