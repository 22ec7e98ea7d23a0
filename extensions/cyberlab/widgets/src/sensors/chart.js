// A uPlot chart that follows the theme, the width of its place and the data.
import uPlot from "uplot";

// Distinct for colour-blind eyes and on both backgrounds; after eight, dashes tell them apart.
const COLOURS = ["#2f7ed8", "#e2711d", "#1a9f6b", "#c94fa0", "#8a63d2", "#b8860b", "#12a2b8", "#d64545"];
const DASHES = [undefined, [8, 4], [2, 3]];

export const colour = (index) => COLOURS[index % COLOURS.length];
const dash = (index) => DASHES[Math.floor(index / COLOURS.length) % DASHES.length];

export class Chart {
  constructor(place) {
    this.place = place;
    this.plot = null;
    this.key = "";
    this.data = null;
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(place);
    this.themes = new MutationObserver(() => { this.key = ""; this.#draw(); });
    this.themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"] });
  }

  destroy() {
    this.observer.disconnect();
    this.themes.disconnect();
    this.plot?.destroy();
  }

  // lines: [{device, values, index, shown}]; index chooses the colour.
  show({ t, lines, unit, now, seconds, every }) {
    this.data = { t, lines, unit, now, seconds, every };
    this.#draw();
  }

  #draw() {
    if (!this.data) return;
    const { t, lines, unit, now, seconds } = this.data;
    const key = JSON.stringify([lines.map((line) => [line.device, line.index]), unit]);
    if (key !== this.key) {
      this.plot?.destroy();
      this.plot = new uPlot(this.#options(), [[], ...lines.map(() => [])], this.place);
      this.key = key;
    }
    this.plot.batch(() => {
      this.plot.setData([t.map((ms) => ms / 1000), ...lines.map((line) => line.values)], false);
      lines.forEach((line, index) => {
        if (this.plot.series[index + 1].show !== line.shown) this.plot.setSeries(index + 1, { show: line.shown });
      });
      this.plot.setScale("x", { min: (now - seconds * 1000) / 1000, max: now / 1000 });
    });
  }

  #options() {
    const style = getComputedStyle(this.place);
    const token = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: style.color,
      font: `12px ${style.fontFamily}`,
      grid: { stroke: token("--cs-grid"), width: 1 },
      ticks: { show: false },
    };
    return {
      width: Math.max(200, this.place.clientWidth),
      height: this.#height(),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 8 } },
      padding: [12, 30, 0, 0],
      scales: { x: { time: true }, y: { range: spread } },
      axes: [
        { ...axis, space: 70, size: 34, values: times },
        { ...axis, size: 56, gap: 6 },
      ],
      series: [{}, ...this.data.lines.map((line) => this.#line(line))],
      hooks: { setCursor: [(plot) => this.#tip(plot)] },
    };
  }

  #line(line) {
    return {
      label: line.device,
      stroke: colour(line.index),
      dash: dash(line.index),
      width: 2,
      show: line.shown,
      points: { show: false },
      // a sensor slower than one mean leaves empty buckets: join over them, and break only where readings are missing
      spanGaps: false,
      gaps: (plot, _series, _from, _to, gaps) => {
        const limit = Math.max(this.data.every * 6, this.data.seconds / 60);
        return gaps.filter(([from, to]) => plot.posToVal(to, "x", true) - plot.posToVal(from, "x", true) > limit);
      },
    };
  }

  #tip(plot) {
    this.tip ??= Object.assign(document.createElement("div"), { className: "cs-tip" });
    const at = plot.cursor.idx;
    if (at == null || plot.cursor.left < 0) return void this.tip.remove();
    const rows = this.data.lines
      .filter((line) => line.shown && line.values[at] != null)
      .map((line) => ({ name: line.device, value: line.values[at], colour: colour(line.index) }))
      .sort((a, b) => b.value - a.value)
      .slice(0, 12);
    if (rows.length === 0) return void this.tip.remove();
    this.tip.replaceChildren(
      Object.assign(document.createElement("b"), { textContent: new Date(this.data.t[at]).toLocaleString() }),
      ...rows.map((row) => {
        const part = document.createElement("div");
        const dot = document.createElement("i");
        dot.style.background = row.colour;
        part.append(dot, `${row.name}  ${number(row.value)} ${unitName(this.data.unit)}`);
        return part;
      }),
    );
    plot.over.append(this.tip);
    const right = plot.cursor.left > plot.over.clientWidth / 2;
    this.tip.style.left = right ? "" : `${plot.cursor.left + 14}px`;
    this.tip.style.right = right ? `${plot.over.clientWidth - plot.cursor.left + 14}px` : "";
  }

  #height() {
    return this.place.clientWidth < 520 ? 240 : 340;
  }

  #resize() {
    if (this.plot && this.place.clientWidth > 0) this.plot.setSize({ width: this.place.clientWidth, height: this.#height() });
  }
}

// A flat line stays in the middle and a small noise does not look like a storm.
function spread(_plot, low, high) {
  if (low == null) return [0, 1];
  const room = Math.max((high - low) * 0.12, Math.abs(high) * 0.005, 0.05);
  return [low - room, high + room];
}

function times(plot, splits) {
  const seconds = plot.scales.x.max - plot.scales.x.min;
  const days = seconds > 86_400 * 1.5;
  const style = days
    ? { weekday: "short", hour: "2-digit", minute: "2-digit", hour12: false }
    : { hour: "2-digit", minute: "2-digit", hour12: false, ...(seconds <= 900 ? { second: "2-digit" } : {}) };
  const format = new Intl.DateTimeFormat(undefined, style);
  return splits.map((split) => format.format(new Date(split * 1000)));
}

const DEGREES = { C: "°C", F: "°F", degC: "°C", degF: "°F", percent: "%" };

export const unitName = (unit) => DEGREES[unit] ?? unit;

export function number(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : 2);
}
