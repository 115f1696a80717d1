// A chart of the server's (charts.py) with uPlot, in the place of the server's own drawing of the same data.
import { clock, date, si } from "./formats.js";

const PAGE = "page"; // all charts of a page share the cursor, and the time range
const charts = new Set();
// Steps of an axis that counts: there is no half share.
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
const LEAST = 0.5; // where a logarithmic scale begins, so that one share is seen

function colour(name) {
  const probe = document.createElement("i");
  probe.className = `ink-${name}`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function faded(ink) {
  return ink.replace(/^rgb\((.*)\)$/, "rgba($1, 0.14)");
}

const missing = (value) => value === null || value === undefined;

export class Chart {
  // `place` holds the drawing and carries the data; `legend` names the traces and tells the values under the pointer.
  constructor(place, legend) {
    this.place = place;
    this.legend = legend;
    this.name = (place.getAttribute("aria-label") ?? "").split(":")[0];
    this.plot = null;
    this.chart = null;
    this.zoomed = null;
    new ResizeObserver(() => {
      if (this.plot && place.clientWidth) this.plot.setSize(this.size());
    }).observe(place);
    addEventListener("themechange", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    charts.add(this);
    if (place.dataset.chart) this.show(JSON.parse(place.dataset.chart));
  }

  size() {
    return { width: this.place.clientWidth, height: this.place.clientHeight };
  }

  // What is drawn depends on the traces; the same ones with other values need no new plot.
  show(chart) {
    const shape = (one) => JSON.stringify(one && [one.traces.map(({ values, ...rest }) => rest), one.unit, one.labels, one.stacked, one.step]);
    const same = this.plot && shape(chart) === shape(this.chart);
    this.chart = chart;
    if (same) {
      this.plot.setData(this.columns(), !this.zoomed);
      this.tell(null);
    } else {
      this.draw();
    }
  }

  get timed() {
    return this.chart.labels.length === 0;
  }

  heights() {
    const { traces, stacked } = this.chart;
    if (!stacked) return traces.map((trace) => trace.values);
    const below = traces[0]?.values.map(() => 0) ?? [];
    return traces.map((trace) => trace.values.map((value, index) => (missing(value) ? null : (below[index] += value))));
  }

  // The traces in the order in which they are painted: of a stack the topmost first, and those below over it.
  get order() {
    const numbers = this.chart.traces.map((_, number) => number);
    return this.chart.stacked ? numbers.reverse() : numbers;
  }

  columns() {
    const { start, step, traces } = this.chart;
    const steps = Math.max(0, ...traces.map((trace) => trace.values.length));
    const along = Array.from({ length: steps }, (_, index) => (this.timed ? start + index * step : index));
    const heights = this.heights();
    return [along, ...this.order.map((number) => heights[number])];
  }

  // A point without neighbours has no line to be seen by.
  lonely(number) {
    const values = this.chart.traces[number].values;
    return values.flatMap((value, index) =>
      !missing(value) && missing(values[index - 1]) && missing(values[index + 1]) ? [index] : []
    );
  }

  trace({ name, ink, kind }, number) {
    const stroke = colour(ink);
    const bars = kind === "bars";
    return {
      label: name,
      stroke,
      width: bars || kind === "edge" ? 0 : 2,
      fill: bars ? stroke : kind === "area" ? faded(stroke) : undefined,
      dash: kind === "dashed" ? [6, 4] : undefined,
      paths: bars ? uPlot.paths.bars({ size: [0.8, 40], align: this.timed ? 1 : 0 }) : undefined,
      fillTo: bars && this.chart.logarithmic ? LEAST : undefined,
      points: { size: 6, fill: stroke, filter: () => (bars || kind === "edge" ? [] : this.lonely(number)) },
      spanGaps: false,
    };
  }

  ticks(values) {
    if (!this.timed) return values.map((value) => this.chart.labels[value] ?? "");
    const days = values.length > 1 && values[values.length - 1] - values[0] >= 2 * 86400;
    return values.map(days ? date : (value) => clock(value));
  }

  draw() {
    if (!this.chart) return;
    this.plot?.destroy();
    this.plot = null;
    this.place.replaceChildren();
    if (this.chart.traces.length === 0) return this.nothing();
    const { unit, traces, band, logarithmic } = this.chart;
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    // A line at 100 % is seen in its whole width.
    const top = (_, __, most) => [0, unit === "%" ? 101 : most > 0 ? most * 1.1 : 1];
    const whole = unit === "" && !logarithmic ? { incrs: WHOLE } : {};
    const height = logarithmic ? { distr: 3, range: (_, __, most) => [LEAST, Math.max(10, most * 1.5)] } : { range: top };
    const bands = band ? [{ series: [band[0] + 1, band[1] + 1], fill: faded(colour(traces[band[0]].ink)) }] : [];
    const options = {
      ...this.size(),
      legend: { show: false },
      padding: [8, 20, 0, 0],
      cursor: {
        y: false,
        sync: this.timed ? { key: PAGE } : undefined,
        drag: { x: this.timed, y: false, setScale: false },
      },
      scales: { x: { time: this.timed, range: this.timed ? undefined : (_, least, most) => [least - 0.5, most + 0.5] }, y: height },
      axes: [
        { ...axis, values: (_, ticks) => this.ticks(ticks), space: 64, size: 28, ...(this.timed ? {} : { incrs: [1, 2, 5, 10, 20, 50] }) },
        { ...axis, ...whole, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : si(tick, unit))), size: 84 },
      ],
      series: [{}, ...this.order.map((number) => this.trace(traces[number], number))],
      bands,
      hooks: {
        setCursor: [(plot) => this.tell(plot.cursor.idx)],
        setSelect: [(plot) => this.chosen(plot)],
        draw: [(plot) => this.mark(plot)],
      },
    };
    this.plot = new uPlot(options, this.columns(), this.place);
    this.plot.over.addEventListener("dblclick", () => zoom(null));
    if (this.zoomed) this.plot.setScale("x", this.zoomed);
    this.key();
  }

  nothing() {
    const said = document.createElement("p");
    said.className = "muted";
    said.textContent = this.place.dataset.empty;
    this.place.append(said);
    this.place.setAttribute("aria-label", `${this.name}: no data`);
    this.legend?.replaceChildren();
    this.values = null;
  }

  // Vertical lines where something happened.
  mark(plot) {
    const ratio = devicePixelRatio;
    for (const { at, ink } of this.chart.marks) {
      const left = Math.round(plot.valToPos(at, "x", true));
      if (left < plot.bbox.left || left > plot.bbox.left + plot.bbox.width) continue;
      plot.ctx.save();
      plot.ctx.strokeStyle = colour(ink);
      plot.ctx.lineWidth = ratio;
      plot.ctx.setLineDash([3 * ratio, 3 * ratio]);
      plot.ctx.beginPath();
      plot.ctx.moveTo(left, plot.bbox.top);
      plot.ctx.lineTo(left, plot.bbox.top + plot.bbox.height);
      plot.ctx.stroke();
      plot.ctx.restore();
    }
  }

  key() {
    if (!this.legend) return;
    this.when = document.createElement("span");
    this.values = this.chart.traces.map(({ name, ink, kind }) => {
      const item = document.createElement("span");
      item.className = `key ${kind}`;
      const swatch = document.createElement("i");
      swatch.className = `ink-${ink}`;
      const value = document.createElement("b");
      item.append(swatch, `${name} `, value);
      return [item, value];
    });
    this.legend.replaceChildren(this.when, ...this.values.map(([item]) => item));
    this.tell(null);
  }

  // The values under the pointer, or the last that are known.
  tell(index) {
    if (!this.values) return;
    const { start, step, traces, unit, labels, marks } = this.chart;
    const pointed = Number.isInteger(index);
    const at = start + index * step;
    const time = (unix) => (step >= 86400 ? date(unix) : clock(unix));
    const beside = marks.filter((mark) => mark.at >= at && mark.at < at + step).map((mark) => mark.text);
    this.when.textContent = !pointed ? "" : labels.length ? labels[index] : [`${time(at)} to ${time(at + step)}`, ...beside].join(", ");
    traces.forEach(({ values }, number) => {
      const known = pointed ? values[index] : values.findLast((value) => !missing(value));
      // Without time, the last value is no better than any other.
      const text = missing(known) ? "no data" : si(known, unit);
      this.values[number][1].textContent = pointed || this.timed ? text : "";
    });
    if (!pointed) {
      const words = traces.map(({ name }, number) => `${name} ${this.values[number][1].textContent}`);
      this.place.setAttribute("aria-label", `${this.name}: last ${words.slice(0, 6).join("; ")}`);
    }
  }

  chosen(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const range = { from: plot.posToVal(left, "x"), to: plot.posToVal(left + width, "x") };
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    zoom(range);
  }

  setRange(range) {
    this.zoomed = range && { min: range.from, max: range.to };
    if (!this.plot || !this.timed) return;
    const along = this.plot.data[0];
    this.plot.setScale("x", this.zoomed ?? { min: along[0], max: along[along.length - 1] });
  }
}

// Tells the page that a range was dragged open, or closed again by a double click; it may fetch finer data instead.
function zoom(range) {
  const event = new CustomEvent("rangechosen", { detail: range, cancelable: true });
  if (!document.dispatchEvent(event)) return;
  for (const chart of charts) chart.setRange(range);
}
