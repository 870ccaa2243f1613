// Pictures of a model's numbers: bars of its features, W^T W, and the loss while it trains.

import { rgbOf, SETS, superpositionColor, weightColor } from "./colors.js";
import { dimensionality, gram, norms, superposition } from "./measures.js";
import {
  fixed, make, numeral, picture, pointerAt, pool, put, reachOf, svgText, throttled, widthOf, write,
} from "./svg.js";
import { counted, OVER, sentenceCase } from "./views.js";

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
  const key = strip(element, (share) => weightColor(2 * share - 1)), keys = pool(element, "text", MIDDLE)(3);
  const readout = make("text", { ...SMALL, "font-size": 12, "text-anchor": "end" }, element);
  ["−1", "0", "1"].forEach((text, at) => write(keys[at], text));

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
    key(left + 16, low - 8, 90);
    [8, 61, 114].forEach((x, at) => put(keys[at], at === 1 ? { x: -99 } : { x: left + x, y: low }));
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

/** @typedef {{name: string, step: number[], loss: number[], kind: "main" | "fork"}} Curve */
/**
 * What the loss curve shows: `levels`, the most important first, `jumps` from step to step of the first main curve,
 * and `changes` that somebody made.
 * @typedef {{curves: Curve[], levels: {name: string, loss: number}[], jumps: number[][],
 *   changes: {step: number, text: string}[], logStep: boolean}} CurveData
 */

/**
 * The loss while models train, on a log scale.
 * @param {{onPoint?: (text: string) => void}} [settings]
 */
export function curveView({ onPoint = () => {} } = {}) {
  let data = /** @type {CurveData | undefined} */ (undefined), pointed = /** @type {number | undefined} */ (undefined);
  let frame = { left: 0, right: 1, top: 0, bottom: 1, last: 1, xOf: (/** @type {number} */ _) => 0, stepAt: (/** @type {number} */ _) => 0 };
  const { element, fit, say } = picture(() => data && draw(data));
  put(element, { tabindex: 0, "aria-description": "The left and right arrow keys go along the curve." });
  element.style.setProperty("touch-action", "pan-y");
  const grid = pool(element, "line", { ...RULE, "stroke-opacity": 0.5 }), base = make("path", { ...RULE, fill: "none" }, element);
  const ends = pool(element, "polyline", { ...RULE, fill: "none" });
  const dashes = pool(element, "line", { stroke: "var(--soft)", "stroke-width": 1, "stroke-dasharray": "4 3", "stroke-opacity": 0.8 });
  const marks = pool(element, "line", { stroke: "var(--accent)", "stroke-width": 1.5, "stroke-linecap": "round" });
  const lines = pool(element, "path", { fill: "none", "stroke-width": 2, "stroke-linejoin": "round", "stroke-linecap": "round" });
  const tips = pool(element, "circle", { r: 3.5, stroke: "var(--card)", "stroke-width": 1 });
  const falls = pool(element, "line", { stroke: "var(--ink)", "stroke-width": 1.5 });
  const drops = pool(element, "text", { ...SMALL, ...OVER, fill: "var(--ink)" });
  const yTicks = pool(element, "text", { ...SMALL, "text-anchor": "end" }), xTicks = pool(element, "text", MIDDLE);
  const names = pool(element, "text", SMALL), axes = pool(element, "text", { "font-size": 12, fill: "var(--ink)" })(2);
  const legend = pool(element, "text", { "font-size": 12, fill: "var(--ink)" }), samples = pool(element, "line", { "stroke-width": 3, "stroke-linecap": "round" });
  const hair = make("line", { stroke: "var(--ink)", "stroke-width": 1, "stroke-opacity": 0.5 }, element);
  const beads = pool(element, "circle", { r: 4, fill: "var(--card)", "stroke-width": 2 });
  const notes = pool(element, "text", { "font-size": 12, fill: "var(--ink)", ...OVER, "stroke-width": 5 });
  write(axes[0], "loss");
  write(axes[1], "step");

  /** @param {number | undefined} step */
  const point = (step) => {
    pointed = step;
    if (data) draw(data);
    onPoint(pointed === undefined || !data ? "" : saidAt(data, pointed).join("; "));
  };
  for (const move of /** @type {const} */ (["pointermove", "pointerdown"])) {
    element.addEventListener(move, (event) => {
      const { x } = pointerAt(element, event);
      point(x >= frame.left - 8 && x <= frame.right + 8 ? Math.max(0, Math.min(frame.last, frame.stepAt(x))) : undefined);
    });
  }
  for (const end of /** @type {const} */ (["pointerleave", "pointercancel", "blur"])) element.addEventListener(end, () => point(undefined));
  element.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity, Escape: NaN }[event.key];
    if (way === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const most = frame.xOf(frame.last), x = (pointed === undefined ? most : frame.xOf(pointed)) + 8 * way;
    point(Number.isNaN(way) ? undefined : frame.stepAt(Math.max(frame.left, Math.min(most, x))));
  });

  /** @param {CurveData} now */
  const draw = (now) => {
    data = now;
    const { curves, levels, jumps, changes, logStep } = now, first = curves.find(({ kind }) => kind === "main") ?? curves[0];
    const height = (/** @type {number} */ width) => Math.max(230, Math.min(380, 0.42 * width));
    const width = fit(height), longest = Math.max(0, ...levels.map(({ name }) => widthOf(name, 11)));
    const right = width - (levels.length > 0 ? Math.min(longest + 20, 0.36 * width) : 14), left = 46, top = 30, bottom = height(width) - 38;
    const { low, high } = lossRange(curves, levels);
    const last = curves.reduce((last, { step }) => Math.max(last, step.at(-1) ?? 0), 1), end = roundedUp(last);
    const along = (/** @type {number} */ step) => (logStep ? Math.log1p(step) / Math.log1p(end) : step / end);
    const xOf = (/** @type {number} */ step) => left + (right - left) * along(Math.max(0, step));
    const yOf = (/** @type {number} */ loss) => bottom - ((bottom - top) * Math.log(loss / low)) / Math.log(high / low);
    const stepAt = (/** @type {number} */ x) => {
      const share = (x - left) / (right - left);
      return Math.round(logStep ? Math.expm1(share * Math.log1p(end)) : share * end);
    };
    frame = { left, right, top, bottom, last, xOf, stepAt };

    const losses = lossTicks(low, high, (bottom - top) / 26), steps = stepTicks(end, logStep, (right - left) / 62);
    grid(losses.length).forEach((line, at) => put(line, { x1: left, x2: right, y1: yOf(losses[at]), y2: yOf(losses[at]) }));
    yTicks(losses.length).forEach((tick, at) => {
      put(tick, { x: left - 7, y: yOf(losses[at]) + 4 });
      write(tick, numeral(losses[at]));
    });
    put(base, { d: `M${left} ${bottom}H${Math.round(right)}${steps.map((step) => `M${xOf(step).toFixed(1)} ${bottom}v4`).join("")}` });
    xTicks(steps.length).forEach((tick, at) => {
      put(tick, { x: xOf(steps[at]), y: bottom + 17 });
      write(tick, numeral(steps[at]));
    });
    put(axes[0], { x: 2, y: 13 });
    put(axes[1], { x: right, y: bottom + 33, "text-anchor": "end" });

    const inside = levels.filter(({ loss }) => loss >= low && loss <= high);
    dashes(inside.length).forEach((line, at) => put(line, { x1: left, x2: right, y1: yOf(inside[at].loss), y2: yOf(inside[at].loss) }));
    const named = placesOf(inside.map(({ loss }) => yOf(loss)), top, bottom, 14);
    names(named.length).forEach((text, at) => {
      const { of, y } = named[at], room = Math.floor((width - right - 18) / (0.54 * 11)), { name } = inside[of];
      put(text, { x: right + 16, y: y + 4 });
      write(text, name.length > room ? `${name.slice(0, room - 1)}…` : name);
    });
    ends(named.length).forEach((line, at) => {
      const { of, y } = named[at];
      put(line, { points: `${right} ${yOf(inside[of].loss)} ${right + 6} ${yOf(inside[of].loss)} ${right + 10} ${y} ${right + 13} ${y}` });
    });
    marks(changes.length).forEach((mark, at) => {
      const x = xOf(changes[at].step);
      put(mark, { x1: x, x2: x, y1: bottom - 9, y2: bottom + 4 });
    });

    const colors = curveColors(curves), ordered = [...curves.keys()].sort((a, b) => Number(curves[a] === first) - Number(curves[b] === first));
    lines(curves.length).forEach((line, at) => put(line, { d: pathOf(curves[ordered[at]], xOf, yOf, low, high), stroke: colors[ordered[at]] }));
    tips(curves.length).forEach((tip, at) => {
      const { step, loss } = curves[at], final = loss.at(-1) ?? NaN, shown = final >= low && final <= high;
      put(tip, { cx: xOf(step.at(-1) ?? 0), cy: shown ? yOf(final) : 0, fill: colors[at], display: shown ? "inline" : "none" });
    });
    const several = curves.length > 1 ? curves : [];
    let x = 50;
    const starts = several.map(({ name }) => (x += widthOf(name, 12) + 36) - widthOf(name, 12) - 36);
    samples(several.length).forEach((line, at) => put(line, { x1: starts[at], x2: starts[at] + 14, y1: 9, y2: 9, stroke: colors[at] }));
    legend(several.length).forEach((text, at) => {
      put(text, { x: starts[at] + 20, y: 13 });
      write(text, several[at].name);
    });

    const fallen = first ? dropsOf(first, jumps, xOf, yOf, right) : [];
    falls(fallen.length).forEach((line, at) => put(line, { x1: fallen[at].x, x2: fallen[at].x, y1: fallen[at].y1, y2: fallen[at].y2 }));
    drops(fallen.length).forEach((text, at) => {
      const { x, y1, y2, says, before } = fallen[at];
      put(text, { x: before ? x - 6 : x + 5, y: before ? y2 : y1 + 2, "text-anchor": before ? "end" : "start" });
      write(text, says);
    });

    const here = pointed === undefined ? undefined : xOf(pointed), said = pointed === undefined ? [] : saidAt(now, pointed);
    put(hair, { display: here === undefined ? "none" : "inline", x1: here ?? 0, x2: here ?? 0, y1: top, y2: bottom });
    const at = curves.map((curve) => (pointed === undefined ? NaN : lossAt(curve, pointed)));
    const met = [...curves.keys()].filter((k) => at[k] >= low && at[k] <= high);
    beads(met.length).forEach((bead, k) => put(bead, { cx: here ?? 0, cy: yOf(at[met[k]]), stroke: colors[met[k]] }));
    const over = (here ?? 0) > (left + right) / 2;
    notes(said.length).forEach((note, k) => {
      put(note, { x: (here ?? 0) + (over ? -8 : 8), y: top + 12 + 16 * k, "text-anchor": over ? "end" : "start" });
      write(note, said[k]);
    });
    say(() => curveSeen(now, first));
  };
  return { element, draw };
}

/** @param {Curve[]} curves */
function curveColors(curves) {
  let forks = 0;
  return curves.map(({ kind }) => (kind === "main" ? "var(--accent)" : [SETS[1], SETS[3], SETS[2], SETS[4]][forks++ % 4]));
}

/** From below the least to above the most of what is shown, in steps of an eighth of a decade.
 * @param {Curve[]} curves @param {{loss: number}[]} levels */
function lossRange(curves, levels) {
  let least = Infinity, most = 0;
  const meet = (/** @type {number} */ loss) => {
    if (!(loss > 0) || loss === Infinity) return;
    if (loss < least) least = loss;
    if (loss > most) most = loss;
  };
  for (const { loss } of curves) for (let at = 0; at < loss.length; at++) meet(loss[at]);
  for (const { loss } of levels) meet(loss);
  if (most === 0) [least, most] = [0.1, 1];
  const high = 10 ** (Math.ceil(8 * Math.log10(1.04 * most)) / 8);
  return { high, low: Math.max(high / 1e7, 10 ** (Math.floor(8 * Math.log10(least / 1.04)) / 8)) };
}

/** An end for an axis of steps, which stays as it is while the steps grow by a fifth or so. @param {number} last */
function roundedUp(last) {
  const power = 10 ** Math.floor(Math.log10(last));
  return power * ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => last <= step * power) ?? 10);
}

/** @param {number} low @param {number} high @param {number} most */
function lossTicks(low, high, most) {
  const tens = [];
  for (let ten = Math.floor(Math.log10(low)); ten <= Math.log10(high); ten++) tens.push(ten);
  const within = (/** @type {number} */ tick) => tick >= 0.999 * low && tick <= 1.001 * high;
  for (const digits of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
    const ticks = tens.flatMap((ten) => digits.map((digit) => Number((digit * 10 ** ten).toPrecision(3)))).filter(within);
    if (ticks.length > 2) return ticks.filter((_, at) => at % Math.ceil(ticks.length / most) === 0);
  }
  return evenTicks(low, high, 4);
}

/** @param {number} end @param {boolean} log @param {number} most */
function stepTicks(end, log, most) {
  if (!log) return evenTicks(0, end, most);
  const ticks = [0];
  for (let ten = 1; ten <= end; ten *= 10) ticks.push(ten);
  return ticks;
}

/** Evenly spaced and round. @param {number} low @param {number} high @param {number} most */
function evenTicks(low, high, most) {
  const least = (high - low) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(least));
  const apart = power * ([1, 2, 5, 10].find((step) => least <= 1.0001 * step * power) ?? 10), ticks = [];
  for (let at = Math.ceil(low / apart - 1e-9); at * apart <= high * (1 + 1e-9); at++) ticks.push(Number((at * apart).toPrecision(6)));
  return ticks;
}

/**
 * Heights for labels, `apart` from each other and near their own: the first have the choice, and those for whom
 * there is no room have none. They come from top to bottom.
 * @param {number[]} heights @param {number} top @param {number} bottom @param {number} apart
 */
function placesOf(heights, top, bottom, apart) {
  const placed = /** @type {{of: number, y: number}[]} */ ([]);
  heights.forEach((height, of) => {
    const tries = [height, ...placed.flatMap(({ y }) => [y - apart, y + apart])]
      .filter((y) => y >= top && y <= bottom && Math.abs(y - height) < 2 * apart)
      .filter((y) => placed.every((other) => Math.abs(other.y - y) > apart - 1e-9))
      .sort((a, b) => Math.abs(a - height) - Math.abs(b - height));
    if (tries.length > 0) placed.push({ of, y: tries[0] });
  });
  const ys = placed.map(({ y }) => y).sort((a, b) => a - b);
  return placed.sort((a, b) => heights[a.of] - heights[b.of]).map(({ of }, at) => ({ of, y: ys[at] }));
}

/** A curve's path; points within half a unit of the last are left out.
 * @param {Curve} curve @param {(step: number) => number} xOf @param {(loss: number) => number} yOf
 * @param {number} low @param {number} high */
function pathOf({ step, loss }, xOf, yOf, low, high) {
  let d = "", lastX = -9, lastY = -9;
  for (let at = 0; at < step.length; at++) {
    if (!(loss[at] > 0)) continue;
    const x = xOf(step[at]), y = yOf(Math.max(low, Math.min(high, loss[at])));
    if (Math.abs(x - lastX) < 0.5 && Math.abs(y - lastY) < 0.5 && at < step.length - 1) continue;
    d += `${d ? "L" : "M"}${Math.round(10 * x) / 10} ${Math.round(10 * y) / 10}`;
    [lastX, lastY] = [x, y];
  }
  return d;
}

/** The place in a curve of the last step up to this one. @param {Curve} curve @param {number} step */
function placeOf(curve, step) {
  let low = 0, high = curve.step.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (curve.step[middle] <= step) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** @param {Curve} curve @param {number} step */
function lossAt(curve, step) {
  const { step: steps, loss } = curve, at = placeOf(curve, step);
  return steps.length > 0 && step >= steps[0] && step <= 1.02 * steps[steps.length - 1] + 1 ? loss[at] : NaN;
}

/** What the curves are at a step, a line each. @param {CurveData} data @param {number} step */
function saidAt({ curves, changes, levels }, step) {
  const met = curves.map((curve) => ({ name: curve.name, loss: lossAt(curve, step) })).filter(({ loss }) => !Number.isNaN(loss));
  const lines = met.map(({ name, loss }) => `${curves.length > 1 ? name : "loss"} ${numeral(loss)}`);
  const last = curves.reduce((last, curve) => Math.max(last, curve.step.at(-1) ?? 0), 1);
  const near = changes.filter((change) => Math.abs(change.step - step) <= 0.015 * last).map(({ text }) => text);
  const level = levels.find(({ loss }) => met.some((one) => Math.abs(one.loss / loss - 1) < 0.005));
  return [`step ${numeral(step, 9)}`, ...lines, ...(level ? [`= ${level.name}`] : []), ...near];
}

/** Where jumps are drawn: the largest first, without those for which there is no room.
 * @param {Curve} curve @param {number[][]} jumps @param {(step: number) => number} xOf
 * @param {(loss: number) => number} yOf @param {number} right */
function dropsOf(curve, jumps, xOf, yOf, right) {
  const all = jumps.map(([a, b]) => {
    const before = curve.loss[placeOf(curve, a)], after = curve.loss[placeOf(curve, b)], change = after / before - 1;
    const x = (xOf(a) + xOf(b)) / 2 + 5, says = `${change < 0 ? "−" : "+"}${Math.abs(Math.round(100 * change))}%`;
    return { x, y1: yOf(before), y2: yOf(after), says, change, before: x + 40 > right };
  });
  const kept = /** @type {typeof all} */ ([]);
  for (const one of all.filter(({ y1, y2 }) => Number.isFinite(y1 + y2)).sort((a, b) => Math.abs(b.change) - Math.abs(a.change))) {
    if (kept.every(({ x, y1 }) => Math.abs(x - one.x) > 40 || Math.abs(y1 - one.y1) > 15)) kept.push(one);
  }
  return kept;
}

/** What is seen of the curves. @param {CurveData} data @param {Curve | undefined} first */
function curveSeen({ curves, levels, jumps, changes }, first) {
  const last = first?.loss.at(-1);
  if (!first || last === undefined) return "No loss yet";
  const near = levels.filter(({ loss }) => loss > 0).map(({ name, loss }) => ({ name, off: last / loss - 1 }))
    .sort((a, b) => Math.abs(a.off) - Math.abs(b.off))[0];
  const off = near && `${numeral(100 * Math.abs(near.off), 2)}% ${near.off < 0 ? "below" : "above"} ${near.name}`;
  const level = !near || Math.abs(near.off) > 0.2 ? "" : `, ${Math.abs(near.off) < 0.001 ? `at the level of ${near.name}` : off}`;
  const more = [
    jumps.length > 0 ? `, ${counted(jumps.length, "jump")}` : "", changes.length > 0 ? `, ${counted(changes.length, "change")}` : "",
    ...curves.filter((curve) => curve !== first && curve.loss.length > 0).map(({ name, loss }) => `; ${name}: ${numeral(loss[loss.length - 1])}`),
  ];
  return sentenceCase(`loss from ${numeral(first.loss[0])} to ${numeral(last)} at step ${numeral(first.step[first.step.length - 1], 9)}${level}${more.join("")}`);
}
