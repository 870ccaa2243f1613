// Pictures of a model's numbers: bars of its features, and W^T W with the biases.

import { rgbOf, superpositionColor, weightColor } from "./colors.js";
import { dimensionality, gram, norms, superposition } from "./measures.js";
import { fixed, make, picture, pointerAt, pool, put, reachOf, write } from "./svg.js";
import { counted } from "./views.js";

/** @import { Model } from "./exact.js" */
/** @typedef {{i: number, j: number}} Entry of W^T W; column n is the bias */

const SMALL = { "font-size": 11, fill: "var(--soft)" };
const MIDDLE = { ...SMALL, "text-anchor": "middle" };
const CRISP = { "shape-rendering": "crispEdges" };
/** Rows and columns of up to so many features have their numbers beside them. */
const FEW_FEATURES = 12;

/** A strip of a color map. @param {Element} parent @param {(share: number) => string} color */
function strip(parent, color) {
  const parts = pool(parent, "rect", { ...CRISP })(40);
  parts.forEach((part, at) => put(part, { fill: color((at + 0.5) / 40), height: 8 }));
  return (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ width) =>
    parts.forEach((part, at) => put(part, { x: x + (at * width) / 40, y, width: width / 40 + 0.3 }));
}

/** "0.40" or "0.38 to 0.43". @param {Float64Array} values */
function spread(values) {
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return fixed(least) === fixed(most) ? fixed(least) : `${fixed(least)} to ${fixed(most)}`;
}

/** A row for each feature: its length, colored by its superposition, and its dimensionality. */
export function barsView() {
  /** @typedef {{model: Model}} Data */
  let data = /** @type {Data | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data));
  const rules = pool(element, "line", { stroke: "var(--line)" })(4);
  const heads = pool(element, "text", { "font-size": 12, fill: "var(--ink)" })(2);
  const bars = ["stroke", "fill"].map((painted) => pool(element, "rect", { [painted]: "var(--soft)" }));
  const values = [0, 1].map(() => pool(element, "text", SMALL));
  const numbers = pool(element, "text", { ...SMALL, "text-anchor": "end" });
  const ticks = pool(element, "text", MIDDLE)(4), keys = pool(element, "text", SMALL)(3);
  const key = strip(element, superpositionColor);
  ["superposition", "0", "≥ 1"].forEach((text, at) => write(keys[at], text));
  ticks.forEach((tick, at) => write(tick, `${at % 2}`));
  rules.forEach((rule, at) => put(rule, { "stroke-dasharray": at % 2 ? "3 3" : "none" }));

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model } = now, { n } = model, shared = superposition(model);
    const sizes = [norms(model), dimensionality(model)];
    const row = Math.max(2.6, Math.min(22, 264 / n)), top = 24, bottom = top + n * row;
    const width = fit(() => bottom + 52), wide = width > 230, few = n <= FEW_FEATURES && wide;
    const left = row >= 11 ? 22 : 5, room = few ? 34 : 8, across = width - left - 2 * room - 14;
    const starts = [left, left + 0.6 * across + room + 14], reach = [reachOf(Math.max(...sizes[0])), 1];
    const lengths = sizes.map((size, at) =>
      size.map((value) => [0.6, 0.4][at] * across * Math.min(1, value / reach[at])));
    const ones = [starts[0] + (0.6 * across) / reach[0], starts[1] + 0.4 * across];
    const height = row > 6 ? row - Math.max(2, 0.22 * row) : row - 0.5, gap = (row - height) / 2;

    [starts[0], ones[0], starts[1], ones[1]].forEach((x, at) => {
      put(rules[at], { x1: x, x2: x, y1: top - 2, y2: bottom + 2 });
      put(ticks[at], { x, y: bottom + 15 });
    });
    ["length", wide ? "dimensionality" : "dim."].forEach((text, at) => {
      put(heads[at], { x: starts[at], y: 13 });
      write(heads[at], text);
      bars[at](n).forEach((bar, i) => {
        put(bar, { x: starts[at], y: top + i * row + gap, width: lengths[at][i], height });
      });
      values[at](few ? n : 0).forEach((text, i) => {
        put(text, { x: starts[at] + lengths[at][i] + 5, y: top + (i + 0.5) * row + 4 });
        write(text, Number.isFinite(sizes[at][i]) ? fixed(sizes[at][i]) : "–");
      });
    });
    bars[0](n).forEach((bar, i) => {
      put(bar, { fill: superpositionColor(shared[i]), "stroke-width": row > 6 ? 0.75 : 0.3 });
    });
    numbers(row >= 11 ? n : 0).forEach((text, i) => {
      put(text, { x: left - 6, y: top + (i + 0.5) * row + 4 });
      write(text, `${i}`);
    });
    const long = Math.min(70, width - left - 122);
    [0, 80, 98 + long].forEach((x, at) => put(keys[at], { x: left + x, y: bottom + 41 }));
    key(left + 92, bottom + 33, long);
    say(() => {
      const all = fixed(sizes[1].reduce((a, b) => a + b, 0)), [length, own] = sizes.map(spread);
      return `A bar for each of ${counted(n, "feature")}: length ${length}, superposition ${spread(shared)}, `
        + `dimensionality ${own}, together ${all} of ${counted(model.m, "dimension")}`;
    });
  };
  return { element, draw };
}

/**
 * `W^T W`, with the bias as a strip to its right. The value of an entry is said where a pointer or the arrow
 * keys are.
 * @param {{onPoint?: (text: string) => void}} [settings]
 */
export function gramView({ onPoint = () => {} } = {}) {
  /** @typedef {{model: Model}} Data */
  let data = /** @type {Data | undefined} */ (undefined), product = new Float64Array(0);
  let pointed = /** @type {Entry | undefined} */ (undefined);
  let side = 1, left = 0, top = 0, strips = { x: 0, width: 1 };
  const { element, fit, say } = picture(() => data && draw(data));
  put(element, { tabindex: 0, "aria-description": "The arrow keys go from entry to entry." });
  const cells = pool(element, "rect", CRISP), image = imageOf(element), biases = pool(element, "rect", CRISP);
  const across = pool(element, "text", MIDDLE), down = pool(element, "text", MIDDLE);
  const mark = make("rect", { fill: "none", stroke: "var(--ink)", "stroke-width": 2 }, element);
  const key = strip(element, (share) => weightColor(2 * share - 1)), keys = pool(element, "text", SMALL)(2);
  const readout = make("text", { ...SMALL, "font-size": 12, "text-anchor": "end" }, element);
  ["≤ −1", "≥ 1"].forEach((text, at) => write(keys[at], text));

  /** The entry pointed at, with a mark around it. */
  const markEntry = () => {
    const n = data?.model.n ?? 0;
    if (!data || !pointed || pointed.i >= n || pointed.j > n) {
      put(mark, { display: "none" });
      write(readout, "");
      return "";
    }
    const { i, j } = pointed, size = Math.max(side, 5), off = (size - side) / 2, bias = j === n;
    const x = bias ? strips.x : left + j * side - off, width = bias ? strips.width : size;
    put(mark, { display: "inline", x, y: top + i * side - off, width, height: size });
    const value = fixed(bias ? data.model.b[i] : product[i * n + j], 3);
    const said = bias ? `bias of ${i}: ${value}` : `${i} · ${j}: ${value}`;
    write(readout, said);
    return said;
  };
  /** @param {Entry | undefined} entry */
  const point = (entry) => {
    pointed = entry;
    onPoint(markEntry());
  };
  element.addEventListener("pointermove", (event) => {
    const n = data?.model.n ?? 0, { x, y } = pointerAt(element, event);
    const i = Math.floor((y - top) / side), j = Math.min(n, Math.floor((x - left) / side));
    point(i >= 0 && i < n && j >= 0 && x < strips.x + strips.width ? { i, j } : undefined);
  });
  element.addEventListener("pointerleave", () => point(undefined));
  element.addEventListener("blur", () => point(undefined));
  element.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!way || !data || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { n } = data.model, { i, j } = pointed ?? { i: -way[0], j: -way[1] }; // from the corner
    const within = (/** @type {number} */ at, /** @type {number} */ most) => Math.max(0, Math.min(most, at));
    point({ i: within(i + way[0], n - 1), j: within(j + way[1], n) });
  });

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model } = now, { n, b } = model, few = n <= FEW_FEATURES, many = n > 20;
    product = gram(model);
    left = top = few ? 18 : 0;
    const width = fit((width) => top + (width - left - 2) / 1.13 + 34), all = (width - left - 2) / 1.13;
    side = all / n;
    strips = { x: left + 1.06 * all, width: Math.max(0.06 * all, 6) };
    const size = few ? side - 1 : side, bottom = top + all;
    cells(many ? 0 : n * n).forEach((cell, at) => {
      const x = left + (at % n) * side, y = top + Math.floor(at / n) * side;
      put(cell, { x, y, width: size, height: size, fill: weightColor(product[at]) });
    });
    image(many ? product : undefined, n, { x: left, y: top, width: all, height: all });
    biases(n).forEach((cell, i) => {
      put(cell, { ...strips, y: top + i * side, height: size, fill: weightColor(b[i]) });
    });
    down(few ? n : 0).forEach((text, i) => {
      put(text, { x: 7, y: top + (i + 0.5) * side + 4 });
      write(text, `${i}`);
    });
    across(few ? n + 1 : 0).forEach((text, i) => {
      put(text, { x: i < n ? left + (i + 0.5) * side : strips.x + strips.width / 2, y: 11 });
      write(text, i < n ? `${i}` : "b");
    });
    key(left + 32, bottom + 20, 90);
    keys.forEach((text, at) => put(text, { x: left + [0, 127][at], y: bottom + 28 }));
    put(readout, { x: width - 2, y: bottom + 28 });
    markEntry();
    say(() => gramSeen(model, product));
  };
  return { element, draw };
}

/** What is seen, in a sentence. @param {Model} model @param {Float64Array} product */
function gramSeen({ n, b }, product) {
  const apart = product.map((x, at) => (at % (n + 1) ? x : 0));
  const at = apart.reduce((most, x, at) => (Math.abs(x) > Math.abs(apart[most]) ? at : most), 0);
  const most = `the largest interference ${fixed(apart[at])} of features ${Math.floor(at / n)} and ${at % n}`;
  const own = spread(product.filter((_, at) => at % (n + 1) === 0));
  return `W transposed times W of ${counted(n, "feature")}: ${own} on the diagonal, `
    + `${Math.abs(apart[at]) < 0.005 ? "no interference" : most}; biases ${spread(b)}`;
}

/** A square matrix as one image, for many entries. The next is drawn when the one before is shown.
 * @param {Element} parent */
function imageOf(parent) {
  const image = make("image", { preserveAspectRatio: "none", "image-rendering": "pixelated" }, parent);
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  const words = Uint32Array.from({ length: 256 }, (_, at) => {
    const [red, green, blue] = rgbOf(weightColor(at / 127.5 - 1));
    return (0xff << 24) | (blue << 16) | (green << 8) | red;
  });
  let loading = false, next = /** @type {{values: Float64Array, n: number} | undefined} */ (undefined);
  const paint = () => {
    if (!next || loading || !context) return;
    const { values, n } = next, pixels = context.createImageData(n, n);
    const colors = new Uint32Array(pixels.data.buffer);
    values.forEach((x, at) => (colors[at] = words[Math.max(0, Math.min(255, Math.floor(128 * (x + 1))))]));
    canvas.width = canvas.height = n;
    context.putImageData(pixels, 0, 0);
    next = undefined;
    const href = canvas.toDataURL();
    loading = href !== image.getAttribute("href"); // what is the same is not loaded again
    image.setAttribute("href", href);
  };
  for (const end of ["load", "error"]) {
    image.addEventListener(end, () => {
      loading = false;
      paint();
    });
  }
  /** @param {Float64Array | undefined} values @param {number} n @param {Record<string, number>} place */
  return (values, n, place) => {
    put(image, { display: values ? "inline" : "none", ...place });
    next = values && { values, n };
    paint();
  };
}
