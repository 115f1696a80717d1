// Numbers and times as people read them; the same rules as quantities.py has on the server.
const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

export function si(value, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return `0 ${unit}`.trim();
  if (Math.abs(value) < 1) return `${small(Number(value.toPrecision(3)))} ${unit}`.trim();
  let power = 0;
  while (Math.abs(Number(value.toPrecision(3))) >= 1000 && power < PREFIXES.length - 1) {
    value /= 1000;
    power += 1;
  }
  const scaled = Number(value.toPrecision(3));
  const text = power === 0 && Number.isInteger(scaled) ? String(scaled) : value.toPrecision(3);
  return `${text} ${PREFIXES[power]}${unit}`.trim();
}

// Difficulties of tiny miners: 0.000977, 9.54e-07; as Python writes them.
function small(value) {
  return Math.abs(value) < 1e-4 ? value.toExponential().replace(/e-(\d)$/, "e-0$1") : String(value);
}

export function rate(hashesPerSecond) {
  return si(hashesPerSecond, "H/s");
}

export function exact(value) {
  if (!Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(15)));
}

export function count(number) {
  return Math.abs(number) < 100000 ? number.toLocaleString("en") : si(number);
}

export function percent(part, whole) {
  if (whole === 0) return "–";
  if (part === 0 || part === whole) return part === 0 ? "0 %" : "100 %";
  const hundredths = Math.floor((10000 * part) / whole);
  return hundredths ? `${(hundredths / 100).toFixed(2)} %` : "< 0.01 %";
}

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole >= 172800) return `${Math.floor(whole / 86400)} d`;
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h`;
  if (whole >= 120) return `${Math.floor(whole / 60)} min`;
  return `${whole} s`;
}

export function clock(unix, seconds = false) {
  const parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Date(unix * 1000).toLocaleTimeString([], seconds ? { ...parts, second: "2-digit" } : parts);
}

const day = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });

export function date(unix) {
  return day.format(unix * 1000);
}

export function local(unix) {
  return new Date(unix * 1000).toLocaleString();
}

export function utc(unix) {
  return `${new Date(unix * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
