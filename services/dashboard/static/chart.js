// The hash-rate chart: uPlot over the drawing that the server sent, with the same data.
const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

function rate(value) {
  if (value === null || value === undefined) return "no data";
  let power = 0;
  while (value >= 999.5 && power < PREFIXES.length - 1) {
    value /= 1000;
    power += 1;
  }
  return `${Number(value.toPrecision(3))} ${PREFIXES[power]}H/s`;
}

function colour(name) {
  const probe = document.createElement("i");
  probe.className = `ink-${name}`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function clock(unix) {
  return new Date(unix * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export class Chart {
  constructor(place, readout) {
    this.place = place;
    this.readout = readout;
    this.plot = null;
    this.series = null;
    new ResizeObserver(() => {
      if (this.plot) this.plot.setSize(this.size());
    }).observe(place);
    addEventListener("themechange", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  size() {
    return { width: this.place.clientWidth, height: this.place.clientHeight };
  }

  show(series) {
    this.series = series;
    if (this.plot) this.plot.setData(this.columns());
    else this.draw();
  }

  columns() {
    const { start, step, values } = this.series;
    return [values.map((_, index) => start + index * step), values];
  }

  // A point without neighbours has no line to be seen by.
  lonely() {
    const values = this.series.values;
    const missing = (value) => value === null || value === undefined;
    return values.flatMap((value, index) =>
      !missing(value) && missing(values[index - 1]) && missing(values[index + 1]) ? [index] : []
    );
  }

  draw() {
    if (!this.series) return;
    if (this.plot) this.plot.destroy();
    this.place.replaceChildren();
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    const options = {
      ...this.size(),
      legend: { show: false },
      padding: [8, 20, 0, 0],
      cursor: { y: false, drag: { setScale: false, x: false, y: false } },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map(clock), space: 64, size: 28 },
        { ...axis, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : rate(tick))), size: 84 },
      ],
      series: [{}, { stroke: colour("accent"), fill: colour("wash"), width: 2, points: { size: 6, fill: colour("accent"), filter: () => this.lonely() }, spanGaps: false }],
      hooks: { setCursor: [(plot) => this.read(plot.cursor.idx)] },
    };
    this.plot = new uPlot(options, this.columns(), this.place);
  }

  read(index) {
    const { start, step, values } = this.series;
    const at = start + index * step;
    this.readout.textContent = Number.isInteger(index) ? `${clock(at)} to ${clock(at + step)}: ${rate(values[index])}` : "";
  }
}
