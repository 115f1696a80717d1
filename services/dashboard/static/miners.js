// The table of miners: all of them are known, those in sight are drawn. Filters and order stand in the URL.
import { CELLS, KEYS, miner, trendPath, trendWords } from "./miner_cells.js";

const DEFAULT_SORT = "-hash_rate";
const BEYOND = 12; // rows drawn above and below what is in sight
const NO_TREND = [0, ""];
const SVG = "http://www.w3.org/2000/svg";

// As links.py: one path segment, whatever is in the name; a browser takes some for steps in a path.
export function workerLink(worker) {
  const link = document.createElement("a");
  const name = encodeURIComponent(worker.toWellFormed?.() ?? worker);
  link.href = ["", ".", ".."].includes(worker) ? `workers?name=${name}` : `workers/${name}`;
  link.textContent = worker;
  return link;
}

export class MinerTable {
  constructor(table, form, matching, folded, noMatch) {
    this.table = table;
    this.body = table.tBodies[0];
    this.form = form;
    this.matching = matching;
    this.foldedLink = folded;
    this.noMatch = noMatch;
    this.columns = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.column);
    this.labels = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    this.numbers = [...table.tHead.rows[0].cells].map((cell) => cell.classList.contains("number"));
    this.miners = new Map();
    this.trends = {};
    this.opened = new Set();
    this.order = [];
    this.lines = [];
    this.drawn = new Map();
    this.above = this.spacer();
    this.below = this.spacer();
    this.known = false;
    this.readUrl();
    this.listen();
  }

  // --- what is known

  replace(miners) {
    this.miners = new Map(Object.entries(miners).map(([key, array]) => [key, miner(array)]));
    if (!this.known) this.body.replaceChildren(this.above, this.below);
    this.known = true;
    this.arrange();
  }

  patch(miners, gone) {
    for (const [key, array] of Object.entries(miners)) this.miners.set(key, miner(array));
    for (const key of gone) this.miners.delete(key);
    this.arrange();
  }

  // --- which are shown, and in which order

  readUrl() {
    const asked = new URLSearchParams(location.search);
    const sort = asked.get("sort") ?? "";
    this.asked = {
      q: asked.get("q") ?? "",
      pool: asked.get("pool") ?? "",
      state: asked.get("state") ?? "",
      sort: this.sorted(sort.replace(/^-/, "")) ? sort : DEFAULT_SORT,
    };
  }

  sorted(column) {
    return column !== "trend" && this.columns.includes(column);
  }

  url(changes) {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries({ ...this.asked, ...changes })) {
      if (value && value !== DEFAULT_SORT) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    url.searchParams.delete("page");
    return `${url.pathname}${url.search}`;
  }

  ask(changes, keep) {
    const url = this.url(changes);
    if (keep) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    this.readUrl();
    this.arrange(true);
  }

  shows(one) {
    const { pool, state, q } = this.asked;
    if (pool && one.pool !== pool) return false;
    if (state ? state !== "all" && one.state !== state : one.state === "left") return false;
    return !q || one.searched.includes(q.toLowerCase());
  }

  // Rows keep their places under the pointer, and while somebody walks through them by keyboard.
  get held() {
    return this.body.matches(":hover") || this.body.contains(document.activeElement);
  }

  arrange(anew = false) {
    const shown = [...this.miners].filter(([, one]) => this.shows(one));
    if (this.held && !anew) {
      const keys = new Set(shown.map(([key]) => key));
      const kept = this.order.filter((key) => keys.delete(key));
      this.order = [...kept, ...keys];
    } else {
      const column = this.asked.sort.replace(/^-/, "");
      const sign = this.asked.sort.startsWith("-") ? -1 : 1;
      const key = KEYS[column] ?? ((one) => one[column]);
      const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
      const keyed = shown.map(([name, one]) => [name, key(one), one]);
      keyed.sort(([, a, one], [, b, other]) => sign * compare(a, b) || compare(one.worker, other.worker) || compare(one.pool, other.pool));
      this.order = keyed.map(([name]) => name);
    }
    this.lines = this.order.flatMap((key) =>
      this.opened.has(key) ? [[key, -1], ...this.miners.get(key).connections.map((_, number) => [key, number])] : [[key, -1]]
    );
    this.told();
    this.draw(true);
  }

  told() {
    const left = this.asked.state ? 0 : [...this.miners.values()].filter((one) => one.state === "left").length;
    this.matching.textContent = `${this.order.length.toLocaleString("en")} shown`;
    this.noMatch.hidden = this.order.length > 0;
    this.foldedLink.hidden = left === 0;
    this.foldedLink.textContent = `${left.toLocaleString("en")} that left: show`;
    for (const chip of this.form.querySelectorAll("a[data-name]")) {
      chip.href = this.url({ [chip.dataset.name]: chip.dataset.value });
      if (this.asked[chip.dataset.name] === chip.dataset.value) chip.setAttribute("aria-current", "true");
      else chip.removeAttribute("aria-current");
    }
    const column = this.asked.sort.replace(/^-/, "");
    for (const head of this.table.tHead.rows[0].cells) {
      const link = head.querySelector("a");
      if (!link) continue;
      const down = this.asked.sort === `-${link.dataset.sort}`;
      link.href = this.url({ sort: down ? link.dataset.sort : `-${link.dataset.sort}` });
      if (link.dataset.sort === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const search = this.form.elements.q;
    if (document.activeElement !== search) search.value = this.asked.q;
  }

  // --- what is drawn

  spacer() {
    const row = document.createElement("tr");
    row.className = "spacer";
    row.setAttribute("aria-hidden", "true");
    row.append(document.createElement("td"));
    row.firstChild.colSpan = this.columns.length;
    return row;
  }

  get rowHeight() {
    return parseFloat(getComputedStyle(this.table).getPropertyValue("--row-height"));
  }

  draw(anew = false) {
    if (!this.known) return;
    const height = this.rowHeight;
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.min(this.lines.length, Math.floor(-top / height)) - BEYOND);
    const last = Math.min(this.lines.length, Math.max(0, Math.ceil((innerHeight - top) / height)) + BEYOND);
    if (!anew && first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    const wanted = this.lines.slice(first, Math.max(first, last));
    const names = wanted.map(([key, number]) => `${number}/${key}`);
    const keep = new Set(names);
    for (const [name, row] of this.drawn) {
      if (!keep.has(name)) {
        row.remove();
        this.drawn.delete(name);
      }
    }
    let before = this.above;
    wanted.forEach(([key, number], index) => {
      const name = names[index];
      const known = this.drawn.get(name);
      const row = known ?? this.newRow(name, key, number);
      // Scrolling alone changes nothing in a row.
      if (anew || !known) this.write(row, key, number, first + index);
      if (before.nextSibling !== row) before.after(row);
      before = row;
    });
    this.above.firstChild.style.height = `${first * height}px`;
    this.below.firstChild.style.height = `${(this.lines.length - Math.max(first, last)) * height}px`;
    this.table.setAttribute("aria-rowcount", String(this.lines.length + 1));
  }

  newRow(name, key, number) {
    const row = document.createElement("tr");
    if (number < 0) row.dataset.row = key;
    this.columns.forEach((column, index) => {
      const cell = row.insertCell();
      cell.className = this.numbers[index] ? `${column} number` : column;
      cell.dataset.label = this.labels[index];
      cell.hidden = this.table.tHead.rows[0].cells[index].hidden;
    });
    this.drawn.set(name, row);
    return row;
  }

  write(row, key, number, index) {
    const group = this.miners.get(key);
    const one = number < 0 ? group : group.connections[number];
    const state = number < 0 ? one.state : `${one.state} single`;
    if (row.className !== state) row.className = state;
    row.setAttribute("aria-rowindex", String(index + 2));
    this.columns.forEach((column, place) => {
      if (column === "trend") return this.drawTrend(row.cells[place], number < 0 ? this.trends[key] : undefined);
      const [text, title] = number >= 0 && column === "worker" ? [one.address, ""] : CELLS[column](one);
      const cell = row.cells[place];
      if (cell.title !== title) cell.title = title;
      if (column === "worker" && number < 0) this.writeName(cell, key, one, text);
      else if (cell.textContent !== text) cell.textContent = text;
    });
  }

  // Every miner's last 24 hours, by key.
  showTrends(trends) {
    this.trends = trends;
    this.draw(true);
  }

  drawTrend(cell, [best, heights] = NO_TREND) {
    if (cell.dataset.heights === heights) return;
    cell.dataset.heights = heights;
    cell.title = heights ? trendWords(best) : "";
    if (!heights) return cell.replaceChildren();
    const drawing = document.createElementNS(SVG, "svg");
    for (const [name, value] of [["viewBox", "0 0 24 35"], ["preserveAspectRatio", "none"], ["role", "img"], ["aria-label", cell.title]]) drawing.setAttribute(name, value);
    drawing.append(document.createElementNS(SVG, "path"));
    drawing.firstChild.setAttribute("d", trendPath(heights));
    cell.replaceChildren(drawing);
  }

  // A worker with several connections opens to show each.
  writeName(cell, key, one, text) {
    let button = cell.querySelector("button");
    const many = one.connections.length > 0;
    if (many !== Boolean(button) || cell.textContent !== text) {
      cell.replaceChildren(one.worker ? workerLink(one.worker) : text);
      if (many) {
        button = document.createElement("button");
        button.type = "button";
        button.className = "expand";
        cell.prepend(button);
        button.addEventListener("click", () => this.toggle(key));
      }
    }
    if (!many) return;
    const open = this.opened.has(key);
    button.setAttribute("aria-expanded", String(open));
    button.setAttribute("aria-label", `${one.connections.length} connections of ${text}`);
  }

  toggle(key) {
    if (!this.opened.delete(key)) this.opened.add(key);
    this.arrange();
  }

  // Shows or hides a column.
  show(column, shown) {
    const index = this.columns.indexOf(column);
    if (index < 0) return;
    for (const row of this.table.rows) if (row.cells.length > 1) row.cells[index].hidden = !shown;
  }

  // --- what people do

  listen() {
    let asked = false;
    const soon = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        this.draw();
      });
    };
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", () => this.draw(true));
    addEventListener("popstate", () => {
      this.readUrl();
      this.form.elements.q.value = this.asked.q;
      this.arrange(true);
    });
    this.body.addEventListener("mouseleave", () => this.arrange());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.elements.q.addEventListener("input", () => this.ask({ q: this.form.elements.q.value }, true));
    const followed = (event, link, changes) => {
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.ask(changes(link));
    };
    this.form.addEventListener("click", (event) =>
      followed(event, event.target.closest("a[data-name]"), (link) => ({ [link.dataset.name]: link.dataset.value }))
    );
    this.table.tHead.addEventListener("click", (event) =>
      followed(event, event.target.closest("a[data-sort]"), ({ dataset: { sort } }) => ({ sort: this.asked.sort === `-${sort}` ? sort : `-${sort}` }))
    );
  }

  // --- what can be taken along

  csv() {
    const shown = this.columns.filter((column, index) => column !== "trend" && !this.table.tHead.rows[0].cells[index].hidden);
    const raw = {
      rejected: (one) => one.refused,
      rate: (one) => (one.accepted + one.refused ? one.accepted / (one.accepted + one.refused) : ""),
      last_share: (one) => (one.last_share ? new Date(one.last_share * 1000).toISOString() : ""),
      connected: (one) => (one.connected ? new Date(one.connected * 1000).toISOString() : ""),
    };
    // A spreadsheet takes what begins with one of these for a formula.
    const plain = (value) => (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value));
    const field = (value) => (/[",\n\r]/.test(plain(value)) ? `"${plain(value).replaceAll('"', '""')}"` : plain(value));
    const line = (one) => shown.map((column) => field(raw[column] ? raw[column](one) : one[column])).join(",");
    return [shown.join(","), ...this.order.map((key) => line(this.miners.get(key)))].join("\n");
  }
}
