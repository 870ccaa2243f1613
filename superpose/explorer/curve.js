// The loss while models train, with its jumps, what was changed, and the levels that theory knows.

import { SETS } from "./colors.js";
import { make, numeral, pair, picture, pointerAt, pool, put, widthOf, write } from "./svg.js";
import { counted, OVER, sentenceCase } from "./views.js";

/** @typedef {{name: string, step: number[], loss: number[], kind: "main" | "fork"}} Curve */
/**
 * What is shown: `levels`, the most important first; `jumps`, each from a step to a step of the first main
 * curve; and `changes` that somebody made.
 * @typedef {{curves: Curve[], levels: {name: string, loss: number}[], jumps: number[][],
 *   changes: {step: number, text: string}[], logStep: boolean}} CurveData
 */
/**
 * Where things are: the plot's borders, the last step, and from numbers to places and back.
 * @typedef {{width: number, left: number, right: number, top: number, bottom: number, low: number,
 *   high: number, last: number, end: number, xOf: (step: number) => number, yOf: (loss: number) => number,
 *   stepAt: (x: number) => number}} Plot
 */
/** A layer of the picture; `pointed` is a step.
 * @typedef {(plot: Plot, data: CurveData, pointed: number | undefined) => void} Layer */

const FAINT = { stroke: "var(--line)", fill: "none" };
const INK = { "font-size": 12, fill: "var(--ink)" };
const TICK = { "font-size": 11, fill: "var(--soft)" };
const ROUND = { fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" };
/** Names of levels need so much width in all. */
const NAMES_FROM = 250;

/**
 * The loss while models train, on a log scale. It is said what it is where a pointer or the arrow keys are.
 * @param {{onPoint?: (text: string) => void}} [settings]
 */
export function curveView({ onPoint = () => {} } = {}) {
  let data = /** @type {CurveData | undefined} */ (undefined);
  let plot = /** @type {Plot | undefined} */ (undefined);
  let pointed = /** @type {number | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data));
  put(element, { tabindex: 0, "aria-description": "The left and right arrow keys go along the curve." });
  element.style.setProperty("touch-action", "pan-y");
  const layers = [axesLayer, levelsLayer, changesLayer, curvesLayer, jumpsLayer, legendLayer, readoutLayer]
    .map((layer) => layer(element));

  /** @param {CurveData} now */
  const draw = (now) => {
    data = now;
    const height = (/** @type {number} */ width) => Math.max(250, Math.min(380, 0.42 * width));
    const width = fit(height);
    const at = (plot = plotOf(now, width, height(width)));
    layers.forEach((layer) => layer(at, now, pointed));
    say(() => curveSeen(now));
  };

  /** @param {number | undefined} step */
  const point = (step) => {
    pointed = step;
    if (data) draw(data);
    onPoint(pointed === undefined || !data ? "" : saidAt(data, pointed).join("; "));
  };
  for (const move of /** @type {const} */ (["pointermove", "pointerdown"])) {
    element.addEventListener(move, (event) => {
      if (!plot) return;
      const { x } = pointerAt(element, event), inside = x >= plot.left - 8 && x <= plot.right + 8;
      point(inside ? Math.max(0, Math.min(plot.last, plot.stepAt(x))) : undefined);
    });
  }
  for (const end of /** @type {const} */ (["pointerleave", "pointercancel", "blur"])) {
    element.addEventListener(end, () => point(undefined));
  }
  element.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity, Escape: NaN }[event.key];
    if (way === undefined || !plot || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const most = plot.xOf(plot.last), x = (pointed === undefined ? most : plot.xOf(pointed)) + 8 * way;
    point(Number.isNaN(way) ? undefined : plot.stepAt(Math.max(plot.left, Math.min(most, x))));
  });
  return { element, draw };
}

/** @param {CurveData} data @param {number} width @param {number} height @returns {Plot} */
function plotOf({ curves, levels, logStep }, width, height) {
  const names = width < NAMES_FROM ? 0 : Math.max(0, ...levels.map(({ name }) => widthOf(name, 11)));
  const left = 46, right = width - (names > 0 ? Math.min(names + 20, 0.36 * width) : 14);
  const top = 30, bottom = height - 38, { low, high } = lossRange(curves, levels);
  const last = lastStep(curves), end = roundedUp(last), log = Math.log1p(end), across = right - left;
  return {
    width, left, right, top, bottom, low, high, last, end,
    xOf: (step) => left + across * (logStep ? Math.log1p(Math.max(0, step)) / log : step / end),
    yOf: (loss) => bottom - ((bottom - top) * Math.log(loss / low)) / Math.log(high / low),
    stepAt: (x) => {
      const share = (x - left) / across;
      return Math.round(logStep ? Math.expm1(share * log) : share * end);
    },
  };
}

/** @param {Curve[]} curves */
function lastStep(curves) {
  return curves.reduce((last, { step }) => Math.max(last, step.at(-1) ?? 0), 1);
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
  for (const { loss } of curves) loss.forEach(meet);
  for (const { loss } of levels) meet(loss);
  if (most === 0) [least, most] = [0.1, 1];
  const high = 10 ** (Math.ceil(8 * Math.log10(1.04 * most)) / 8);
  return { high, low: Math.max(high / 1e7, 10 ** (Math.floor(8 * Math.log10(least / 1.04)) / 8)) };
}

/** An end for an axis of steps, which keeps still while they grow by a fifth or so. @param {number} last */
function roundedUp(last) {
  const power = 10 ** Math.floor(Math.log10(last));
  return power * ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8].find((step) => last <= step * power) ?? 10);
}

/** @param {Element} parent @returns {Layer} */
function axesLayer(parent) {
  const grid = pool(parent, "line", { ...FAINT, "stroke-opacity": 0.5 }), base = make("path", FAINT, parent);
  const losses = pool(parent, "text", { ...TICK, "text-anchor": "end" });
  const steps = pool(parent, "text", { ...TICK, "text-anchor": "middle" });
  const loss = make("text", INK, parent), step = make("text", { ...INK, "text-anchor": "end" }, parent);
  write(loss, "loss");
  write(step, "step");
  return ({ left, right, top, bottom, low, high, end, xOf, yOf }, { logStep }) => {
    const up = lossTicks(low, high, (bottom - top) / 26), ys = up.map(yOf);
    const along = logStep ? logSteps(end, xOf) : evenTicks(0, end, Math.min(8, (right - left) / 50));
    grid(up.length).forEach((line, at) => put(line, { x1: left, x2: right, y1: ys[at], y2: ys[at] }));
    losses(up.length).forEach((text, at) => {
      put(text, { x: left - 7, y: ys[at] + 4 });
      write(text, numeral(up[at]));
    });
    const marks = along.map((step) => `M${pair(xOf(step), bottom)}v4`).join("");
    put(base, { d: `M${pair(left, bottom)}L${pair(right, bottom)}${marks}` });
    steps(along.length).forEach((text, at) => {
      put(text, { x: xOf(along[at]), y: bottom + 17 });
      write(text, numeral(along[at]));
    });
    put(loss, { x: 2, y: 13 });
    put(step, { x: right, y: bottom + 33 });
  };
}

/** @param {number} low @param {number} high @param {number} most */
function lossTicks(low, high, most) {
  const tens = [];
  for (let ten = Math.floor(Math.log10(low)); ten <= Math.log10(high); ten++) tens.push(ten);
  const within = (/** @type {number} */ tick) => tick >= 0.999 * low && tick <= 1.001 * high;
  for (const digits of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
    const ticks = tens.flatMap((ten) => digits.map((digit) => Number(`${digit}e${ten}`))).filter(within);
    if (ticks.length > 2) return ticks.filter((_, at) => at % Math.ceil(ticks.length / most) === 0);
  }
  return evenTicks(low, high, 4);
}

/** 0 and the powers of 10 for which there is room.
 * @param {number} end @param {(step: number) => number} xOf */
function logSteps(end, xOf) {
  const ticks = [];
  for (let ten = 10 ** Math.floor(Math.log10(end)); ten >= 1; ten /= 10) {
    if (ticks.length === 0 || xOf(ticks[ticks.length - 1]) - xOf(ten) > 40) ticks.push(ten);
  }
  return [0, ...ticks.filter((tick) => xOf(tick) - xOf(0) > 30)];
}

/** Evenly spaced and round. @param {number} low @param {number} high @param {number} most */
function evenTicks(low, high, most) {
  const least = (high - low) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(least)), ticks = [];
  const apart = power * ([1, 2, 5].find((step) => least <= 1.0001 * step * power) ?? 10);
  for (let at = Math.ceil(low / apart - 1e-9); at * apart <= high * (1 + 1e-9); at++) {
    ticks.push(Number((at * apart).toPrecision(6)));
  }
  return ticks;
}

/** Dashed lines, with their names at their right ends. @param {Element} parent @returns {Layer} */
function levelsLayer(parent) {
  const look = { stroke: "var(--soft)", "stroke-dasharray": "4 3", "stroke-opacity": 0.8 };
  const dashes = pool(parent, "line", look), ends = pool(parent, "path", FAINT);
  const names = pool(parent, "text", TICK);
  return ({ width, left, right, top, bottom, low, high, yOf }, { levels }) => {
    const shown = levels.filter(({ loss }) => loss >= low && loss <= high);
    const ys = shown.map(({ loss }) => yOf(loss)), room = Math.floor((width - right - 16) / widthOf("x", 11));
    dashes(ys.length).forEach((line, at) => put(line, { x1: left, x2: right, y1: ys[at], y2: ys[at] }));
    const named = width < NAMES_FROM ? [] : placesOf(ys, top, bottom, 14);
    ends(named.length).forEach((line, at) => {
      const { of, y } = named[at];
      put(line, { d: `M${pair(right, ys[of])}h5L${pair(right + 10, y)}h3` });
    });
    names(named.length).forEach((text, at) => {
      const { of, y } = named[at], { name } = shown[of];
      put(text, { x: right + 16, y: y + 4 });
      write(text, name.length > room ? `${name.slice(0, room - 1)}…` : name);
    });
  };
}

/**
 * Heights for labels, `apart` from each other and near their own: the first have the choice, and those for
 * whom there is no room have none. They come from top to bottom.
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

/** Marks on the axis of steps. @param {Element} parent @returns {Layer} */
function changesLayer(parent) {
  const marks = pool(parent, "line", { ...ROUND, stroke: "var(--accent)", "stroke-width": 1.5 });
  return ({ bottom, xOf }, { changes }) => marks(changes.length).forEach((mark, at) => {
    const x = xOf(changes[at].step);
    put(mark, { x1: x, x2: x, y1: bottom - 9, y2: bottom + 4 });
  });
}

/** The first main curve above the others. @param {Element} parent @returns {Layer} */
function curvesLayer(parent) {
  const lines = pool(parent, "path", { ...ROUND, "stroke-width": 2 });
  const tips = pool(parent, "circle", { stroke: "var(--paper)" });
  return (plot, { curves }) => {
    const colors = curveColors(curves), main = curves.indexOf(mainOf(curves) ?? curves[0]);
    const order = [...curves.keys()].sort((a, b) => Number(a === main) - Number(b === main));
    lines(curves.length).forEach((line, at) => {
      put(line, { d: pathOf(curves[order[at]], plot), stroke: colors[order[at]] });
    });
    tips(curves.length).forEach((tip, at) => {
      const { step, loss } = curves[order[at]], last = loss.at(-1) ?? NaN;
      const r = last >= plot.low && last <= plot.high ? 3.5 : 0;
      put(tip, { cx: plot.xOf(step.at(-1) ?? 0), cy: plot.yOf(last), r, fill: colors[order[at]] });
    });
  };
}

/** @param {Curve[]} curves @returns {Curve | undefined} */
function mainOf(curves) {
  return curves.find(({ kind }) => kind === "main") ?? curves[0];
}

/** @param {Curve[]} curves */
function curveColors(curves) {
  const forks = [SETS[1], SETS[3], SETS[2], SETS[4]];
  let fork = 0;
  return curves.map(({ kind }) => (kind === "main" ? "var(--accent)" : forks[fork++ % forks.length]));
}

/** Points within half a unit of the last are left out.
 * @param {Pick<Curve, "step" | "loss">} curve @param {Plot} plot */
function pathOf({ step, loss }, { low, high, xOf, yOf }) {
  let d = "", lastX = -9, lastY = -9;
  for (let at = 0; at < step.length; at++) {
    if (!(loss[at] > 0)) continue;
    const x = xOf(step[at]), y = yOf(Math.max(low, Math.min(high, loss[at])));
    if (Math.abs(x - lastX) < 0.5 && Math.abs(y - lastY) < 0.5 && at < step.length - 1) continue;
    d += `${d ? "L" : "M"}${pair(x, y)}`;
    [lastX, lastY] = [x, y];
  }
  return d;
}

/** Parts of the curve in ink, with the size of the jump. @param {Element} parent @returns {Layer} */
function jumpsLayer(parent) {
  const parts = pool(parent, "path", { ...ROUND, stroke: "var(--ink)", "stroke-width": 3.5 });
  const texts = pool(parent, "text", { ...TICK, ...OVER, fill: "var(--ink)" });
  return (plot, { curves, jumps }) => {
    const main = mainOf(curves), shown = main ? jumpsOf(main, jumps, plot) : [];
    parts(shown.length).forEach((part, at) => put(part, { d: shown[at].d }));
    texts(shown.length).forEach((text, at) => {
      const { x, y, change } = shown[at], after = x + 44 < plot.right;
      put(text, after ? { x: x + 7, y: y - 2 } : { x: x - 7, y: y + 12 });
      put(text, { "text-anchor": after ? "start" : "end" });
      write(text, `${change < 0 ? "−" : "+"}${Math.abs(Math.round(100 * change))}%`);
    });
  };
}

/** Where jumps are: at most eight, which do not touch; the largest have the choice.
 * @param {Curve} curve @param {number[][]} jumps @param {Plot} plot */
function jumpsOf({ step, loss }, jumps, plot) {
  const all = jumps.map(([before, after]) => {
    const a = placedAlong(step, before), b = placedAlong(step, after), middle = (a + b) >> 1;
    return { a, b, x: plot.xOf(step[middle]), y: plot.yOf(loss[middle]), change: loss[b] / loss[a] - 1 };
  });
  const kept = /** @type {typeof all} */ ([]);
  all.sort((one, other) => Math.abs(other.change) - Math.abs(one.change));
  for (const one of all.filter(({ change }) => Number.isFinite(change))) {
    const free = kept.every(({ x, y }) => Math.abs(x - one.x) > 44 || Math.abs(y - one.y) > 15);
    if (free && kept.length < 8) kept.push(one);
  }
  const part = (/** @type {number} */ a, /** @type {number} */ b) =>
    pathOf({ step: step.slice(a, b + 1), loss: loss.slice(a, b + 1) }, plot);
  return kept.map(({ a, b, x, y, change }) => ({ d: part(a, b), x, y, change }));
}

/** The names of curves, if there are several. @param {Element} parent @returns {Layer} */
function legendLayer(parent) {
  const samples = pool(parent, "line", { ...ROUND, "stroke-width": 3 }), names = pool(parent, "text", INK);
  return (_, { curves }) => {
    const colors = curveColors(curves), count = curves.length > 1 ? curves.length : 0, starts = [50];
    for (const { name } of curves) starts.push(starts[starts.length - 1] + widthOf(name, 12) + 36);
    samples(count).forEach((line, at) => {
      put(line, { x1: starts[at], x2: starts[at] + 14, y1: 9, y2: 9, stroke: colors[at] });
    });
    names(count).forEach((text, at) => {
      put(text, { x: starts[at] + 20, y: 13 });
      write(text, curves[at].name);
    });
  };
}

/** What the curves are at the step pointed at. @param {Element} parent @returns {Layer} */
function readoutLayer(parent) {
  const hair = make("line", { stroke: "var(--ink)", "stroke-opacity": 0.5 }, parent);
  const beads = pool(parent, "circle", { fill: "var(--card)", "stroke-width": 2 });
  const box = make("rect", { fill: "var(--card)", stroke: "var(--line)", rx: 4 }, parent);
  const lines = pool(parent, "text", INK);
  return ({ width, left, right, top, bottom, low, high, xOf, yOf }, data, pointed) => {
    const shown = pointed !== undefined, x = xOf(pointed ?? 0), said = shown ? saidAt(data, pointed) : [];
    const display = shown ? "inline" : "none", colors = curveColors(data.curves);
    put(hair, { display, x1: x, x2: x, y1: top, y2: bottom });
    const met = data.curves.map((curve, at) => ({ at, loss: shown ? lossAt(curve, pointed) : NaN }))
      .filter(({ loss }) => loss >= low && loss <= high);
    beads(met.length).forEach((bead, k) => {
      put(bead, { cx: x, cy: yOf(met[k].loss), r: 4, stroke: colors[met[k].at] });
    });
    const wide = Math.max(0, ...said.map((text) => widthOf(text, 12))) + 18, over = x > (left + right) / 2;
    const start = Math.max(1, Math.min(width - wide - 1, over ? x - wide - 8 : x + 8));
    put(box, { display, x: start, y: top + 2, width: wide, height: 17 * said.length + 9 });
    lines(said.length).forEach((line, k) => {
      put(line, { x: start + 8, y: top + 19 + 17 * k });
      write(line, said[k]);
    });
  };
}

/** The place of the last step up to this one. @param {number[]} steps @param {number} step */
function placedAlong(steps, step) {
  let low = 0, high = steps.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (steps[middle] <= step) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** @param {Curve} curve @param {number} step */
function lossAt({ step: steps, loss }, step) {
  const within = steps.length > 0 && step >= steps[0] && step <= 1.02 * steps[steps.length - 1] + 1;
  return within ? loss[placedAlong(steps, step)] : NaN;
}

/** What the curves are at a step, a line each. @param {CurveData} data @param {number} step */
function saidAt({ curves, changes, levels }, step) {
  const met = curves.map((curve) => ({ name: curve.name, loss: lossAt(curve, step) }))
    .filter(({ loss }) => !Number.isNaN(loss));
  const lines = met.map(({ name, loss }) => `${curves.length > 1 ? `${name}: ` : "loss "}${numeral(loss)}`);
  const close = 0.015 * lastStep(curves);
  const near = changes.filter((change) => Math.abs(change.step - step) <= close).map(({ text }) => text);
  const level = levels.find(({ loss }) => met.some((one) => Math.abs(one.loss / loss - 1) < 0.005));
  return [`step ${numeral(step, 9)}`, ...lines, ...(level ? [`≈ ${level.name}`] : []), ...near];
}

/** What is seen, in a sentence. @param {CurveData} data */
function curveSeen({ curves, levels, jumps, changes }) {
  const main = mainOf(curves), last = main?.loss.at(-1);
  if (!main || last === undefined) return "No loss yet";
  const said = [
    `loss from ${numeral(main.loss[0])} to ${numeral(last)} at step ${numeral(main.step.at(-1) ?? 0, 9)}`,
    ...levelNear(last, levels),
    ...(jumps.length > 0 ? [counted(jumps.length, "jump")] : []),
    ...(changes.length > 0 ? [counted(changes.length, "change")] : []),
  ];
  const others = curves.filter((curve) => curve !== main && curve.loss.length > 0)
    .map(({ name, loss }) => `; ${name}: ${numeral(loss.at(-1) ?? 0)}`);
  return sentenceCase(said.join(", ") + others.join(""));
}

/** The level that a loss is at, or the nearest if it is within a fifth.
 * @param {number} loss @param {CurveData["levels"]} levels */
function levelNear(loss, levels) {
  const near = levels.map((level) => ({ name: level.name, off: loss / level.loss - 1 }))
    .filter(({ off }) => Math.abs(off) < 0.2).sort((a, b) => Math.abs(a.off) - Math.abs(b.off))[0];
  if (!near) return [];
  const { name, off } = near;
  if (Math.abs(off) < 0.001) return [`at the level of ${name}`];
  return [`${numeral(100 * Math.abs(off), 2)}% ${off < 0 ? "below" : "above"} ${name}`];
}
