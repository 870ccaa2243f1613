// The loss while models train, with its jumps, what was changed, and the levels that theory knows.

import { SETS } from "./colors.js";
import { make, numeral, picture, pointerAt, pool, put, widthOf, write } from "./svg.js";
import { counted, OVER, sentenceCase } from "./views.js";

const TICK = { "font-size": 11, fill: "var(--soft)" };

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
  const grid = pool(element, "line", { stroke: "var(--line)", "stroke-opacity": 0.5 }), base = make("path", { stroke: "var(--line)", fill: "none" }, element);
  const ends = pool(element, "polyline", { stroke: "var(--line)", fill: "none" });
  const dashes = pool(element, "line", { stroke: "var(--soft)", "stroke-width": 1, "stroke-dasharray": "4 3", "stroke-opacity": 0.8 });
  const marks = pool(element, "line", { stroke: "var(--accent)", "stroke-width": 1.5, "stroke-linecap": "round" });
  const lines = pool(element, "path", { fill: "none", "stroke-width": 2, "stroke-linejoin": "round", "stroke-linecap": "round" });
  const tips = pool(element, "circle", { r: 3.5, stroke: "var(--card)", "stroke-width": 1 });
  const falls = pool(element, "path", { fill: "none", stroke: "var(--ink)", "stroke-width": 3.5, "stroke-linecap": "round", "stroke-linejoin": "round" });
  const drops = pool(element, "text", { ...TICK, ...OVER, fill: "var(--ink)" });
  const yTicks = pool(element, "text", { ...TICK, "text-anchor": "end" }), xTicks = pool(element, "text", { ...TICK, "text-anchor": "middle" });
  const names = pool(element, "text", TICK), axes = pool(element, "text", { "font-size": 12, fill: "var(--ink)" })(2);
  const legend = pool(element, "text", { "font-size": 12, fill: "var(--ink)" }), samples = pool(element, "line", { "stroke-width": 3, "stroke-linecap": "round" });
  const hair = make("line", { stroke: "var(--ink)", "stroke-width": 1, "stroke-opacity": 0.5 }, element);
  const beads = pool(element, "circle", { r: 4, fill: "var(--card)", "stroke-width": 2 });
  const box = make("rect", { fill: "var(--card)", stroke: "var(--line)", rx: 4 }, element);
  const notes = pool(element, "text", { "font-size": 12, fill: "var(--ink)" });
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
    const height = (/** @type {number} */ width) => Math.max(250, Math.min(380, 0.42 * width));
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

    const losses = lossTicks(low, high, (bottom - top) / 26), steps = stepTicks(end, logStep, (right - left) / 64);
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
    falls(fallen.length).forEach((line, at) => put(line, { d: fallen[at].d }));
    drops(fallen.length).forEach((text, at) => {
      const { x, y, says, beyond } = fallen[at];
      put(text, { x: beyond ? x - 7 : x + 7, y: beyond ? y + 12 : y - 2, "text-anchor": beyond ? "end" : "start" });
      write(text, says);
    });

    const here = pointed === undefined ? undefined : xOf(pointed), said = pointed === undefined ? [] : saidAt(now, pointed);
    put(hair, { display: here === undefined ? "none" : "inline", x1: here ?? 0, x2: here ?? 0, y1: top, y2: bottom });
    const at = curves.map((curve) => (pointed === undefined ? NaN : lossAt(curve, pointed)));
    const met = [...curves.keys()].filter((k) => at[k] >= low && at[k] <= high);
    beads(met.length).forEach((bead, k) => put(bead, { cx: here ?? 0, cy: yOf(at[met[k]]), stroke: colors[met[k]] }));
    const wide = Math.max(...said.map((text) => widthOf(text, 12))) + 18, x0 = (here ?? 0) > (left + right) / 2 ? (here ?? 0) - wide - 8 : (here ?? 0) + 8;
    const start = Math.max(1, Math.min(width - wide - 1, x0));
    put(box, { display: here === undefined ? "none" : "inline", x: start, y: top + 2, width: wide, height: 17 * said.length + 9 });
    notes(said.length).forEach((note, k) => {
      put(note, { x: start + 8, y: top + 19 + 17 * k });
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
 * @param {Pick<Curve, "step" | "loss">} curve @param {(step: number) => number} xOf @param {(loss: number) => number} yOf
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
function lossAt(curve, step) {
  const { step: steps, loss } = curve, at = placedAlong(steps, step);
  return steps.length > 0 && step >= steps[0] && step <= 1.02 * steps[steps.length - 1] + 1 ? loss[at] : NaN;
}

/** What the curves are at a step, a line each. @param {CurveData} data @param {number} step */
function saidAt({ curves, changes, levels }, step) {
  const met = curves.map((curve) => ({ name: curve.name, loss: lossAt(curve, step) })).filter(({ loss }) => !Number.isNaN(loss));
  const lines = met.map(({ name, loss }) => `${curves.length > 1 ? `${name}: ` : "loss "}${numeral(loss)}`);
  const last = curves.reduce((last, curve) => Math.max(last, curve.step.at(-1) ?? 0), 1);
  const near = changes.filter((change) => Math.abs(change.step - step) <= 0.015 * last).map(({ text }) => text);
  const level = levels.find(({ loss }) => met.some((one) => Math.abs(one.loss / loss - 1) < 0.005));
  return [`step ${numeral(step, 9)}`, ...lines, ...(level ? [`≈ ${level.name}`] : []), ...near];
}

/** How jumps are drawn, of which the largest have the choice: at most eight, which do not touch.
 * @param {Curve} curve @param {number[][]} jumps @param {(step: number) => number} xOf
 * @param {(loss: number) => number} yOf @param {number} right */
function dropsOf({ step, loss }, jumps, xOf, yOf, right) {
  const all = jumps.map(([before, after]) => {
    const a = placedAlong(step, before), b = placedAlong(step, after), change = loss[b] / loss[a] - 1, middle = (a + b) >> 1;
    const x = xOf(step[middle]), y = yOf(loss[middle]), says = `${change < 0 ? "−" : "+"}${Math.abs(Math.round(100 * change))}%`;
    const part = { step: step.slice(a, b + 1), loss: loss.slice(a, b + 1) };
    return { x, y, says, change, d: pathOf(part, xOf, yOf, 0, Infinity), beyond: x + 44 > right };
  });
  const kept = /** @type {typeof all} */ ([]);
  for (const one of all.filter(({ change }) => Number.isFinite(change)).sort((a, b) => Math.abs(b.change) - Math.abs(a.change))) {
    if (kept.length < 8 && kept.every(({ x, y }) => Math.abs(x - one.x) > 44 || Math.abs(y - one.y) > 15)) kept.push(one);
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
