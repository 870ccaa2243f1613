// Pictures of where the features of a model point: in 1 or 2 dimensions, in 3 or more, and as a graph.

import { importanceColor, inkOn, polytopeColor } from "./colors.js";
import { cosines, graphLayout, nameOf, norms, polytopes, principalAxes, project } from "./measures.js";
import { fixed, make, picture, pointerAt, pool, put, reachOf, throttled, widthOf, write } from "./svg.js";

/** @import { Model } from "./exact.js" */
/** @import { Polytope } from "./measures.js" */
/** @import { World } from "./worlds.js" */
/** How a space is turned, in radians. @typedef {{azimuth: number, elevation: number}} Turn */

const NUMBERS = "no one two three four five six seven eight nine ten eleven twelve".split(" ");
/** Features that have their numbers beside them, at most. */
const NUMBERED = 12;
/** A feature shorter than this is not stored, to the eye and to `polytopes`. */
const STORED = 0.5;

/** "one feature", "five features", "20 features". @param {number} count @param {string} noun */
export function counted(count, noun) {
  return `${NUMBERS[count] ?? count} ${noun}${count === 1 ? "" : "s"}`;
}

/** @param {string} text */
export function sentenceCase(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What is seen of a model: "Five features in two dimensions: a pentagon, lengths 1.07 to 1.11".
 * @param {Model} model @param {Polytope[]} [found] */
export function seen(model, found = polytopes(model)) {
  const name = nameOf(found), article = /^[aeiou]/.test(name) ? "an " : "a ";
  const long = [...norms(model)].filter((length) => length > STORED), lost = model.n - long.length;
  const [least, most] = [Math.min(...long), Math.max(...long)].map((length) => fixed(length));
  const lengths = long.length === 0 ? "" : `, ${least === most ? `length ${least}` : `lengths ${least} to ${most}`}`;
  const where = `${counted(model.n, "feature")} in ${counted(model.m, "dimension")}`;
  const stored = `${/^(\d|nothing)/.test(name) ? "" : article}${name}${lengths}`;
  return sentenceCase(`${where}: ${stored}${lost > 0 && lost < model.n ? `, ${NUMBERS[lost] ?? lost} not stored` : ""}`);
}

/** The color of each feature, by its importance relative to the largest. @param {World} world */
function importanceColors({ importance }) {
  const most = importance.reduce((a, b) => Math.max(a, b), 0);
  return Array.from(importance, (one) => importanceColor(most > 0 ? one / most : 1));
}

/** @param {number} x */
function finite(x) {
  return Number.isFinite(x) ? x : 0;
}

/** The numbers of features beside their tips; those of tips at one place are together.
 * @param {(count: number) => SVGTextElement[]} labels @param {{x: number, y: number}[]} tips from the middle */
function writeNumbers(labels, tips) {
  const places = /** @type {{x: number, y: number, text: string}[]} */ ([]);
  tips.forEach(({ x, y }, i) => {
    const length = Math.hypot(x, y), [right, down] = length > 4 ? [x / length, y / length] : [0.7, 0.7];
    const at = { x: x + 15 * right, y: y + 14 * down, text: `${i}` };
    const same = places.find((place) => Math.hypot(place.x - at.x, place.y - at.y) < 12);
    if (same) same.text += `, ${i}`;
    else places.push(at);
  });
  labels(places.length).forEach((label, at) => {
    const { x, y, text } = places[at], more = text.length > 2 ? Math.sign(x) * (widthOf(text, 12) / 2 - 6) : 0;
    put(label, { x: x + more, y: y + 4.3 });
    write(label, text);
  });
}

const LABELS = { "font-size": 12, fill: "var(--soft)", "text-anchor": "middle" };
/** Letters over lines, which keep off them. */
export const OVER = { stroke: "var(--card)", "stroke-width": 3, "stroke-linejoin": "round", "paint-order": "stroke" };
/** What makes pale colors readable on white and dark ones on black. */
const RIM = { stroke: "var(--ink)", "stroke-opacity": 0.6, "stroke-width": 0.75 };
const SHADE = { stroke: "var(--ink)", "stroke-opacity": 0.3, "stroke-linecap": "round", fill: "none" };
const DASHED = { stroke: "var(--line)", "stroke-width": 1, "stroke-dasharray": "3 3", fill: "none" };

/** The directions of features in 1 or 2 dimensions. */
export function directionsView() {
  /** @typedef {{model: Model, world: World, trail?: boolean}} Data */
  let data = /** @type {Data | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data));
  element.style.setProperty("overflow", "visible");
  const middle = make("g", {}, element);
  const axes = [make("line", DASHED, middle), make("line", DASHED, middle)];
  const circle = make("circle", { fill: "none", stroke: "var(--line)", "stroke-width": 1 }, middle);
  const ticks = pool(middle, "text", { ...LABELS, "font-size": 11 });
  const trails = pool(middle, "path", { fill: "none", "stroke-width": 1.5, "stroke-linejoin": "round" });
  const shade = make("path", SHADE, middle), arrows = pool(middle, "line", { "stroke-linecap": "round" });
  const dots = pool(middle, "circle", RIM);
  const beads = pool(middle, "text", { "font-size": 11, "text-anchor": "middle", "font-weight": 600 });
  const numbers = pool(middle, "text", { ...LABELS, ...OVER });
  let past = /** @type {Float64Array[]} */ ([]);

  /** Where the tips were in the last draws, paler the longer ago. @param {Data} data @param {number} scale
   * @param {string[]} colors */
  const drawTrails = ({ model, trail }, scale, colors) => {
    const { n, W } = model, last = past.at(-1);
    if (!trail || last?.length !== 2 * n) past = [];
    if (!trail) return trails(0);
    if (!last || past.length === 0 || last.some((x, at) => Math.abs(x - W[at]) > 1e-4)) past.push(W.slice(0, 2 * n));
    if (past.length > 40) past.shift();
    const ages = n > 30 ? [[0, 14, 0.35]] : [[0, 8, 0.5], [8, 22, 0.3], [22, 40, 0.15]];
    const newest = past.length - 1, paths = trails(n * ages.length);
    ages.forEach(([young, old, opacity], age) => {
      for (let i = 0; i < n; i++) {
        let d = "";
        for (let at = newest - young; at >= Math.max(0, newest - old); at--) {
          const x = Math.round(10 * scale * finite(past[at][i])) / 10, y = Math.round(10 * scale * finite(past[at][n + i])) / 10;
          d += `${d ? "L" : "M"}${x} ${-y}`;
        }
        put(paths[age * n + i], { d, stroke: colors[i], "stroke-opacity": opacity });
      }
    });
  };

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model, world } = now, { n, m, W } = model, line = m === 1;
    const width = fit((width) => width), half = width / 2, colors = importanceColors(world);
    let longest = 0;
    for (let i = 0; i < n; i++) longest = Math.max(longest, finite(Math.hypot(W[i], line ? 0 : W[n + i])));
    const reach = reachOf(longest), scale = half / reach, thick = Math.min(1.8, Math.max(0.8, Math.sqrt(width / 320)));
    const radius = line && n <= NUMBERED ? 9 : 3.6 * thick;
    const xs = Array.from({ length: n }, (_, i) => scale * finite(W[i]));
    const ys = line ? besides(xs, Math.min(2 * radius + 1.5, (0.9 * width) / n)) : xs.map((_, i) => -scale * finite(W[n + i]));
    put(middle, { transform: `translate(${half} ${half})` });
    put(axes[0], { x1: -half, x2: half });
    put(axes[1], { y1: -half, y2: half, display: line ? "none" : "inline" });
    put(circle, { r: line ? 0 : scale });
    ticks(line ? 3 : 0).forEach((tick, at) => {
      put(tick, { x: (at - 1) * scale, y: half - 10 });
      write(tick, ["−1", "0", "1"][at]);
    });
    drawTrails(line ? { ...now, trail: false } : now, scale, colors);
    put(shade, { d: starOf(xs.map((x, i) => ({ x, y: ys[i], from: line ? ys[i] : 0 }))), "stroke-width": 2.2 * thick + 1.3 });
    arrows(n).forEach((arrow, at) => {
      const i = n - 1 - at; // the first feature on top
      put(arrow, { x2: xs[i], y1: line ? ys[i] : 0, y2: ys[i], stroke: colors[i], "stroke-width": 2.2 * thick });
    });
    dots(n).forEach((dot, at) => {
      const i = n - 1 - at;
      put(dot, { cx: xs[i], cy: ys[i], r: radius, fill: colors[i] });
    });
    beads(line && n <= NUMBERED ? n : 0).forEach((bead, i) => {
      put(bead, { x: xs[i], y: ys[i] + 4, fill: inkOn(colors[i]) });
      write(bead, `${i}`);
    });
    writeNumbers(numbers, line || n > NUMBERED ? [] : xs.map((x, i) => ({ x, y: ys[i] })));
    say(() => seen(model));
  };
  return { element, draw };
}

/** Lines from the middle as one path. @param {{x: number, y: number, from: number}[]} tips */
function starOf(tips) {
  const short = (/** @type {number} */ x) => Math.round(10 * x) / 10;
  return tips.map(({ x, y, from }) => `M0 ${short(from)}L${short(x)} ${short(y)}`).join("");
}

/** How far points on a line must be moved off it so that they are so far apart: the next to a line or as near as
 * can be. @param {number[]} xs @param {number} apart */
function besides(xs, apart) {
  const ys = /** @type {number[]} */ ([]);
  for (const x of xs) {
    const near = ys.map((y, j) => ({ y, dx: Math.abs(xs[j] - x) })).filter(({ dx }) => dx < apart - 1e-9)
      .map(({ y, dx }) => ({ y, room: Math.sqrt(apart * apart - dx * dx) }));
    const free = (/** @type {number} */ y) => near.every((other) => Math.abs(other.y - y) > other.room - 1e-6);
    const tries = [0, ...near.flatMap(({ y, room }) => [y - room, y + room])].sort((a, b) => Math.abs(a) - Math.abs(b));
    ys.push(tries.find(free) ?? 0);
  }
  return ys;
}

/**
 * The directions of features in 3 dimensions, or along the first three principal axes of more: turned by dragging
 * and by the arrow keys.
 * @param {{onTurn?: (turn: Turn) => void}} [settings]
 */
export function spaceView({ onTurn = () => {} } = {}) {
  /** @typedef {{model: Model, world: World, turn: Turn, found?: Polytope[]}} Data */
  let data = /** @type {Data | undefined} */ (undefined), before = /** @type {Float64Array | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data));
  put(element, { tabindex: 0, "aria-description": "Drag it, or use the arrow keys, to turn it." });
  element.style.setProperty("touch-action", "none");
  element.style.setProperty("cursor", "grab");
  const note = make("text", { ...LABELS, "text-anchor": "start", x: 2 }, element), middle = make("g", {}, element);
  const sphere = make("circle", { fill: "none", stroke: "var(--line)", "stroke-width": 1 }, middle);
  const equator = make("path", DASHED, middle);
  const axes = [0, 1, 2].map(() => make("line", DASHED, middle));
  const edges = pool(middle, "line", { "stroke-linecap": "round" });
  const shade = make("path", { ...SHADE, "stroke-opacity": 0.15 }, middle);
  const arrows = pool(middle, "line", { "stroke-linecap": "round" }), dots = pool(middle, "circle", RIM);
  const numbers = pool(middle, "text", { ...LABELS, ...OVER });

  /** @param {number} right @param {number} up in radians */
  const turnBy = (right, up) => {
    if (!data) return;
    const { azimuth, elevation } = data.turn, most = Math.PI / 2;
    const round = 2 * Math.PI, turned = (((azimuth - right) % round) + round) % round;
    const turn = { azimuth: turned, elevation: Math.max(-most, Math.min(most, elevation + up)) };
    draw({ ...data, turn });
    onTurn(turn);
  };
  let held = /** @type {{x: number, y: number} | undefined} */ (undefined);
  element.addEventListener("pointerdown", (event) => {
    held = pointerAt(element, event);
    element.setPointerCapture(event.pointerId);
    element.style.setProperty("cursor", "grabbing");
  });
  element.addEventListener("pointermove", (event) => {
    if (!held) return;
    const at = pointerAt(element, event);
    turnBy((at.x - held.x) / 110, (at.y - held.y) / 110);
    held = at;
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    element.addEventListener(end, () => {
      held = undefined;
      element.style.setProperty("cursor", "grab");
    });
  }
  element.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    turnBy(0.12 * way[0], 0.12 * way[1]);
  });

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model, world, turn, found = [] } = now, { n, m } = model;
    const width = fit((width) => width), half = width / 2, colors = importanceColors(world);
    const flat = m <= 3 || !model.W.every(Number.isFinite), main = flat ? undefined : principalAxes(model, before?.length === m * m ? before : undefined);
    before = main?.axes;
    const unit = new Float64Array(m * m).map((_, at) => (at % (m + 1) === 0 ? 1 : 0));
    const position = project(model, main?.axes ?? unit, 3).map(finite);
    let longest = 0;
    for (let i = 0; i < n; i++) longest = Math.max(longest, Math.hypot(position[3 * i], position[3 * i + 1], position[3 * i + 2]));
    const reach = reachOf(longest), scale = half / reach, thick = Math.min(1.8, Math.max(0.8, Math.sqrt(width / 320)));
    const [ca, sa, ce, se] = [Math.cos(turn.azimuth), Math.sin(turn.azimuth), Math.cos(turn.elevation), Math.sin(turn.elevation)];
    /** On the picture, with how near it is: 1 in front on the sphere, -1 behind.
     * @param {number} x @param {number} y @param {number} z */
    const seenAt = (x, y, z) => {
      const out = ca * x + sa * y, near = ce * out + se * z, larger = scale * (4 * reach) / (4 * reach - near);
      return { x: larger * (ca * y - sa * x) * 0.92, y: -larger * (ce * z - se * out) * 0.92, near: near / reach };
    };
    const tips = colors.map((_, i) => seenAt(position[3 * i], position[3 * i + 1], position[3 * i + 2]));
    const clear = (/** @type {number} */ near) => 0.72 + 0.28 * Math.max(-1, Math.min(1, 1.3 * near));
    put(middle, { transform: `translate(${half} ${half})` });
    put(sphere, { r: 0.92 * scale * 4 * reach / Math.sqrt(16 * reach * reach - 1) });
    put(equator, { d: ringOf((x, y) => seenAt(x, y, 0)) });
    axes.forEach((axis, k) => {
      const ends = [-reach, reach].map((far) => seenAt(k === 0 ? far : 0, k === 1 ? far : 0, k === 2 ? far : 0));
      put(axis, { x1: ends[0].x, y1: ends[0].y, x2: ends[1].x, y2: ends[1].y });
    });
    const pairs = edgesOf(model, found);
    edges(pairs.length).forEach((edge, at) => {
      const { i, j, name } = pairs[at], a = tips[i], b = tips[j];
      put(edge, {
        x1: a.x, y1: a.y, x2: b.x, y2: b.y, stroke: polytopeColor(name), "stroke-width": 1.3 * thick,
        "stroke-opacity": 0.75 * clear((a.near + b.near) / 2),
      });
    });
    const order = tips.map((_, i) => i).sort((i, j) => tips[i].near - tips[j].near);
    put(shade, { d: starOf(tips.map(({ x, y }) => ({ x, y, from: 0 }))), "stroke-width": 2 * thick + 1.3 });
    arrows(n).forEach((arrow, at) => {
      const { x, y, near } = tips[order[at]];
      put(arrow, { x2: x, y2: y, stroke: colors[order[at]], "stroke-width": thick * (2 + 0.7 * near), "stroke-opacity": clear(near) });
    });
    dots(n).forEach((dot, at) => {
      const { x, y, near } = tips[order[at]];
      put(dot, { cx: x, cy: y, r: thick * (4 + 1.6 * near), fill: colors[order[at]], "fill-opacity": clear(near) });
    });
    writeNumbers(numbers, n > NUMBERED ? [] : tips);
    const share = main ? main.share[0] + main.share[1] + main.share[2] : 1;
    put(note, { y: width - 4 });
    write(note, main ? `3 of ${m} principal axes: ${Math.round(100 * share)}% of |W|²` : "");
    say(() => seen(model, found.length > 0 ? found : undefined) + (main ? `; three principal axes show ${Math.round(100 * share)}%` : ""));
  };
  return { element, draw };
}

/** A circle of radius 1 as a path. @param {(x: number, y: number) => {x: number, y: number}} seenAt */
function ringOf(seenAt) {
  let d = "";
  for (let at = 0; at < 48; at++) {
    const { x, y } = seenAt(Math.cos((at * Math.PI) / 24), Math.sin((at * Math.PI) / 24));
    d += `${d ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  return `${d}Z`;
}

/** The edges of polytopes with a name: from each feature to those whose cosine is about the largest.
 * @param {Model} model @param {Polytope[]} found */
function edgesOf(model, found) {
  const named = found.filter(({ name, features }) => name !== "unnamed" && features.length > 1);
  if (named.length === 0) return [];
  const { n } = model, cosine = cosines(model);
  return named.flatMap(({ name, features }) => {
    const nearest = features.map((i) => Math.max(...features.map((j) => (i === j ? -1 : cosine[i * n + j]))) - 0.25);
    return features.flatMap((i, a) => features.slice(a + 1).flatMap((j, more) =>
      cosine[i * n + j] >= Math.min(nearest[a], nearest[a + 1 + more]) ? [{ i, j, name }] : []));
  });
}

/** The features as points, linked where they interfere, each polytope by itself. */
export function graphView() {
  /** @typedef {{model: Model, world: World, found: Polytope[]}} Data */
  let data = /** @type {Data | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data)), slowly = throttled(200);
  const links = pool(element, "line", { stroke: "var(--soft)", "stroke-opacity": 0.6 });
  const dots = pool(element, "circle", RIM), names = pool(element, "text", LABELS);
  const empty = make("text", { ...LABELS, "font-size": 14 }, element);

  const paint = () => {
    if (!data) return;
    const { model, found } = data, { position, links: pairs } = graphLayout(model, found);
    const width = fit((width) => width), features = found.flatMap((part) => part.features);
    const xs = features.map((i) => position[2 * i]), ys = features.map((i) => position[2 * i + 1]);
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const labeled = found.length <= 12, margin = labeled ? 42 : 14;
    const scale = Math.min(90, (width - 2 * margin) / Math.max(right - left, high - low, 0.1));
    const xOf = (/** @type {number} */ i) => width / 2 + scale * (position[2 * i] - (left + right) / 2);
    const yOf = (/** @type {number} */ i) => width / 2 - scale * (position[2 * i + 1] - (low + high) / 2) - (labeled ? 8 : 0);
    const thick = Math.min(1.6, Math.max(0.8, Math.sqrt(width / 320)));
    links(pairs.length).forEach((link, at) => {
      const { i, j, width: strong } = pairs[at];
      put(link, { x1: xOf(i), y1: yOf(i), x2: xOf(j), y2: yOf(j), "stroke-width": Math.min(6, 1.8 * thick * strong) });
    });
    const all = found.flatMap(({ name, features }) => features.map((i) => ({ i, name })));
    dots(all.length).forEach((dot, at) => {
      const { i, name } = all[at];
      put(dot, { cx: xOf(i), cy: yOf(i), r: 4.5 * thick, fill: polytopeColor(name) });
    });
    names(labeled ? found.length : 0).forEach((label, at) => {
      const { name, features } = found[at], across = features.map(xOf);
      put(label, { x: (Math.min(...across) + Math.max(...across)) / 2, y: Math.max(...features.map(yOf)) + 20 });
      write(label, name === "unnamed" ? `${features.length} features` : name);
    });
    put(empty, { x: width / 2, y: width / 2 });
    write(empty, found.length > 0 ? "" : "nothing stored yet");
    say(() => `${seen(model, found)}; ${counted(pairs.length, "link")}`);
  };
  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    if (now.model.n > 20) slowly(paint); // springs take their time
    else paint();
  };
  return { element, draw };
}
