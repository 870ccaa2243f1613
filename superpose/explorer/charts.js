// Pictures of a model's numbers: bars of its features, and W^T W with the biases.

import { rgbOf, superpositionColor, weightColor } from "./colors.js";
import { dimensionality, gram, norms, superposition } from "./measures.js";
import { fixed, make, picture, pointerAt, pool, put, reachOf, write } from "./svg.js";
import { counted } from "./views.js";

/** @import { Model } from "./exact.js" */

const SMALL = { "font-size": 11, fill: "var(--soft)" };
const MIDDLE = { ...SMALL, "text-anchor": "middle" };
const RULE = { stroke: "var(--line)", "stroke-width": 1 };

/** A strip of a color map. @param {Element} parent @param {(share: number) => string} color */
function strip(parent, color) {
  const group = make("g", {}, parent), parts = pool(group, "rect", { "shape-rendering": "crispEdges" })(40);
  parts.forEach((part, at) => put(part, { fill: color((at + 0.5) / parts.length) }));
  return (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ width) =>
    parts.forEach((part, at) => put(part, { x: x + (at * width) / 40, y, width: width / 40 + 0.3, height: 8 }));
}

/** The least and the most of some numbers. @param {ArrayLike<number>} values */
function rangeOf(values) {
  let least = Infinity, most = -Infinity;
  for (let at = 0; at < values.length; at++) {
    least = Math.min(least, values[at]);
    most = Math.max(most, values[at]);
  }
  return [least, most];
}

/** "0.40" or "0.38 to 0.43". @param {ArrayLike<number>} values */
function spread(values) {
  const [least, most] = rangeOf(values).map((value) => fixed(value));
  return least === most ? least : `${least} to ${most}`;
}

/** A row for each feature: its length, colored by its superposition, and its dimensionality. */
export function barsView() {
  /** @typedef {{model: Model}} Data */
  let data = /** @type {Data | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data));
  const rules = pool(element, "line", RULE), heads = pool(element, "text", { "font-size": 12, fill: "var(--ink)" })(2);
  const lengths = pool(element, "rect", { stroke: "var(--soft)" }), shares = pool(element, "rect", { fill: "var(--soft)" });
  const numbers = pool(element, "text", { ...SMALL, "text-anchor": "end" }), values = pool(element, "text", SMALL);
  const ticks = pool(element, "text", MIDDLE)(4), key = strip(element, superpositionColor);
  const keys = pool(element, "text", SMALL)(3);
  write(heads[0], "length");
  write(heads[1], "dimensionality");
  ["superposition", "0", "≥ 1"].forEach((text, at) => write(keys[at], text));

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model } = now, { n } = model, length = norms(model), shared = superposition(model), own = dimensionality(model);
    const row = Math.max(2.6, Math.min(22, 264 / n)), top = 24, bottom = top + n * row, few = n <= 12;
    const width = fit(() => bottom + 52), left = row >= 11 ? 22 : 2, room = few ? 34 : 8;
    const across = width - left - 2 * room - 14, wide = [0.6 * across, 0.4 * across];
    const start = [left, left + wide[0] + room + 14], reach = reachOf(rangeOf(length)[1]);
    const bar = row > 6 ? row - Math.max(2, 0.22 * row) : row - 0.5, pad = (row - bar) / 2;
    const one = start[0] + wide[0] / reach;
    rules(4).forEach((rule, at) => {
      const x = [start[0], one, start[1], start[1] + wide[1]][at];
      put(rule, { x1: x, x2: x, y1: top - 2, y2: bottom + 2, "stroke-dasharray": at % 2 ? "3 3" : "none" });
    });
    heads.forEach((head, at) => put(head, { x: start[at], y: 13 }));
    lengths(n).forEach((rect, i) => put(rect, {
      x: start[0], y: top + i * row + pad, height: bar, width: Math.min(wide[0], (length[i] / reach) * wide[0]),
      fill: superpositionColor(shared[i]), "stroke-width": row > 6 ? 0.75 : 0.3,
    }));
    shares(n).forEach((rect, i) => put(rect, { x: start[1], y: top + i * row + pad, height: bar, width: own[i] * wide[1] }));
    numbers(row >= 11 ? n : 0).forEach((text, i) => {
      put(text, { x: left - 6, y: top + (i + 0.5) * row + 4 });
      write(text, `${i}`);
    });
    values(few ? 2 * n : 0).forEach((text, at) => {
      const i = at >> 1, value = at % 2 ? own[i] : length[i], end = at % 2 ? own[i] : Math.min(1, length[i] / reach);
      put(text, { x: start[at % 2] + end * wide[at % 2] + 5, y: top + (i + 0.5) * row + 4 });
      write(text, fixed(value));
    });
    ticks.forEach((tick, at) => {
      put(tick, { x: [start[0], one, start[1], start[1] + wide[1]][at], y: bottom + 15 });
      write(tick, `${at % 2}`);
    });
    const low = bottom + 41;
    put(keys[0], { x: start[0], y: low });
    put(keys[1], { x: start[0] + 80, y: low });
    key(start[0] + 92, low - 8, 70);
    put(keys[2], { x: start[0] + 168, y: low });
    say(() => {
      const all = own.reduce((a, b) => a + b, 0);
      return `A bar for each of ${counted(n, "feature")}: length ${spread(length)}, superposition ${spread(shared)}, `
        + `dimensionality ${spread(own)}, together ${fixed(all)} of ${counted(model.m, "dimension")}`;
    });
  };
  return { element, draw };
}

/**
 * `W^T W`, with the bias as a strip to its right. An entry's value is said where a pointer or the arrow keys are.
 * @param {{onPoint?: (text: string) => void}} [settings]
 */
export function gramView({ onPoint = () => {} } = {}) {
  /** @typedef {{model: Model}} Data */
  let data = /** @type {Data | undefined} */ (undefined), product = new Float64Array(0);
  let entry = /** @type {{i: number, j: number} | undefined} */ (undefined); // the bias is column n
  let side = 1, left = 0, top = 0;
  const { element, fit, say } = picture(() => data && draw(data));
  put(element, { tabindex: 0, "aria-description": "The arrow keys go from entry to entry." });
  const cells = pool(element, "rect", { "shape-rendering": "crispEdges" }), image = imageOf(element);
  const biases = pool(element, "rect", { "shape-rendering": "crispEdges" });
  const numbers = pool(element, "text", MIDDLE), mark = make("rect", { fill: "none", stroke: "var(--ink)", "stroke-width": 2 }, element);
  const key = strip(element, (share) => weightColor(2 * share - 1)), keys = pool(element, "text", SMALL)(2);
  const readout = make("text", { ...SMALL, "font-size": 12, "text-anchor": "end" }, element);
  ["−1", "1"].forEach((text, at) => write(keys[at], text));

  const said = () => {
    if (!data || !entry) return "";
    const { i, j } = entry, { n, b } = data.model;
    return j === n ? `bias of ${i}: ${fixed(b[i], 3)}` : `${i} · ${j}: ${fixed(product[i * n + j], 3)}`;
  };
  /** @param {typeof entry} at */
  const point = (at) => {
    entry = at;
    mind();
    onPoint(said());
  };
  const mind = () => {
    const n = data?.model.n ?? 0, shown = entry && entry.i < n && entry.j <= n;
    put(mark, { display: shown ? "inline" : "none" });
    write(readout, shown ? said() : "");
    if (!entry || !shown) return;
    const size = Math.max(side, 4), x = left + (entry.j === n ? (n + 0.06 * n) * side : entry.j * side);
    put(mark, { x: x - (size - side) / 2, y: top + entry.i * side - (size - side) / 2, width: entry.j === n ? stripWidth(n, side) : size, height: size });
  };
  element.addEventListener("pointermove", (event) => {
    const n = data?.model.n ?? 0, at = pointerAt(element, event);
    const i = Math.floor((at.y - top) / side), column = Math.floor((at.x - left) / side);
    const j = column < n ? column : n, inside = i >= 0 && i < n && j >= 0 && at.x < left + 1.06 * n * side + stripWidth(n, side);
    point(inside ? { i, j } : undefined);
  });
  element.addEventListener("pointerleave", () => point(undefined));
  element.addEventListener("blur", () => point(undefined));
  element.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!way || !data || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { n } = data.model, from = entry ?? { i: 0, j: 0 };
    const to = (/** @type {number} */ x, /** @type {number} */ most) => Math.max(0, Math.min(most, x));
    point(entry ? { i: to(from.i + way[0], n - 1), j: to(from.j + way[1], n) } : from);
  });

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model } = now, { n, b } = model;
    product = gram(model);
    left = n <= 12 ? 18 : 0;
    top = n <= 12 ? 18 : 0;
    const width = fit((width) => top + (width - left - 2) / 1.13 + 34);
    side = (width - left - 2) / (1.13 * n);
    const many = n > 20, bottom = top + n * side;
    cells(many ? 0 : n * n).forEach((cell, at) => put(cell, {
      x: left + (at % n) * side, y: top + Math.floor(at / n) * side, width: side - (n <= 12 ? 1 : 0), height: side - (n <= 12 ? 1 : 0),
      fill: weightColor(product[at]),
    }));
    image.draw(many ? product : new Float64Array(0), n, left, top, n * side);
    biases(n).forEach((cell, i) => put(cell, {
      x: left + 1.06 * n * side, y: top + i * side, width: stripWidth(n, side), height: side - (n <= 12 ? 1 : 0), fill: weightColor(b[i]),
    }));
    numbers(n <= 12 ? 2 * n + 1 : 0).forEach((text, at) => {
      const i = at >> 1, rows = at % 2 === 1;
      if (at === 2 * n) put(text, { x: left + 1.06 * n * side + stripWidth(n, side) / 2, y: 11 });
      else put(text, rows ? { x: 7, y: top + (i + 0.5) * side + 4 } : { x: left + (i + 0.5) * side, y: 11 });
      write(text, at === 2 * n ? "b" : `${i}`);
    });
    const low = bottom + 28;
    key(left + 18, low - 8, 90);
    keys.forEach((text, at) => put(text, { x: left + [0, 113][at], y: low }));
    put(readout, { x: width - 2, y: low });
    mind();
    say(() => {
      const diagonal = product.filter((_, at) => at % (n + 1) === 0), apart = product.map((x, at) => (at % (n + 1) ? x : 0));
      const most = apart.reduce((most, x, at) => (Math.abs(x) > Math.abs(apart[most]) ? at : most), 0);
      const pair = n > 1 ? `, the largest interference ${fixed(apart[most])} of features ${Math.floor(most / n)} and ${most % n}` : "";
      return `W transposed times W of ${counted(n, "feature")}: ${spread(diagonal)} on the diagonal${pair}; biases ${spread(b)}`;
    });
  };
  return { element, draw };
}

/** @param {number} n @param {number} side */
function stripWidth(n, side) {
  return Math.max(0.06 * n * side, 6);
}

/** A matrix as one image, for many entries. The next is drawn when the one before is shown.
 * @param {Element} parent */
function imageOf(parent) {
  const image = make("image", { preserveAspectRatio: "none", "image-rendering": "pixelated" }, parent);
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  const colors = Uint32Array.from({ length: 256 }, (_, at) => {
    const [red, green, blue] = rgbOf(weightColor(at / 127.5 - 1));
    return (0xff << 24) | (blue << 16) | (green << 8) | red;
  });
  let loading = false, next = /** @type {Float64Array | undefined} */ (undefined), size = 0;
  const paint = () => {
    if (!next || loading || size === 0 || !context) return;
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const pixels = context.createImageData(size, size), words = new Uint32Array(pixels.data.buffer);
    next.forEach((x, at) => (words[at] = colors[Math.max(0, Math.min(255, Math.floor(128 * (x + 1))))]));
    context.putImageData(pixels, 0, 0);
    next = undefined;
    loading = true;
    put(image, { href: canvas.toDataURL() });
  };
  for (const end of ["load", "error"]) {
    image.addEventListener(end, () => {
      loading = false;
      paint();
    });
  }
  return {
    /** @param {Float64Array} values @param {number} n @param {number} x @param {number} y @param {number} width */
    draw(values, n, x, y, width) {
      put(image, { display: values.length > 0 ? "inline" : "none", x, y, width, height: width });
      [next, size] = values.length > 0 ? [values, n] : [undefined, 0];
      paint();
    },
  };
}
