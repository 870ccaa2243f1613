// Pictures of where the features of a model point: in 1 or 2 dimensions, in 3 or more, and as a graph.

import { importanceColor, inkOn, polytopeColor } from "./colors.js";
import { cosines, graphLayout, nameOf, norms, polytopes, principalAxes, project } from "./measures.js";
import {
  finite, fixed, make, pair, picture, pointerAt, pool, put, reachOf, throttled, widthOf, write,
} from "./svg.js";

/** @import { Model } from "./exact.js" */
/** @import { Polytope } from "./measures.js" */
/** @import { World } from "./worlds.js" */
/** How a space is turned, in degrees. @typedef {{azimuth: number, elevation: number}} Turn */
/** A place on a picture, right and down. @typedef {{x: number, y: number}} Place */

const COUNTS = "no one two three four five six seven eight nine ten eleven twelve".split(" ");
/** Features that have their numbers beside them, at most. */
const NUMBERED = 12;
/** A feature shorter than this is not stored, to the eye and to `polytopes`. */
const STORED = 0.5;
const LABEL = { "font-size": 12, fill: "var(--soft)", "text-anchor": "middle" };
/** Letters over lines, which keep off them. */
export const OVER = {
  stroke: "var(--paper)", "stroke-width": 3, "stroke-linejoin": "round", "paint-order": "stroke",
};
/** What makes pale colors readable on white and dark ones on black. */
const RIM = { stroke: "var(--ink)", "stroke-opacity": 0.6, "stroke-width": 0.75 };
const SHADE = { stroke: "var(--ink)", "stroke-opacity": 0.3, "stroke-linecap": "round", fill: "none" };
const DASHED = { stroke: "var(--line)", "stroke-dasharray": "3 3", fill: "none" };
const CAP = { "stroke-linecap": "round" };

/** "one feature", "five features", "20 features". @param {number} count @param {string} noun */
export function counted(count, noun) {
  return `${COUNTS[count] ?? count} ${noun}${count === 1 ? "" : "s"}`;
}

/** @param {string} text */
export function sentenceCase(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What is seen of a model: "Five features in two dimensions: a pentagon, lengths 1.07 to 1.11".
 * @param {Model} model @param {Polytope[]} [found] */
export function seen(model, found = polytopes(model)) {
  const name = nameOf(found);
  const article = /^(\d|nothing)/.test(name) ? "" : /^[aeiou]/.test(name) ? "an " : "a ";
  const long = [...norms(model)].filter((length) => length > STORED), lost = model.n - long.length;
  const [least, most] = [Math.min(...long), Math.max(...long)].map((length) => fixed(length));
  const lengths = least === most ? `length ${least}` : `lengths ${least} to ${most}`;
  const parts = [`${article}${name}`, ...(long.length > 0 ? [lengths] : [])];
  if (lost > 0 && lost < model.n) parts.push(`${COUNTS[lost] ?? lost} not stored`);
  const where = `${counted(model.n, "feature")} in ${counted(model.m, "dimension")}`;
  return sentenceCase(`${where}: ${parts.join(", ")}`);
}

/** The color of each feature, by its importance relative to the largest. @param {World} world */
function importanceColors({ importance }) {
  const most = importance.reduce((a, b) => Math.max(a, b), 0);
  return Array.from(importance, (one) => importanceColor(most > 0 ? one / most : 1));
}

/** How thick things are drawn on a picture. @param {number} width */
function thickness(width) {
  return Math.min(1.8, Math.max(0.8, Math.sqrt(width / 320)));
}

/** The numbers of features beyond their tips, as seen from the middle, and off the other tips; those at one
 * place are together. @param {(count: number) => SVGTextElement[]} labels @param {Place[]} tips */
function writeNumbers(labels, tips) {
  const places = /** @type {(Place & {text: string})[]} */ ([]);
  const apart = (/** @type {Place} */ a, /** @type {Place} */ b) => Math.hypot(a.x - b.x, a.y - b.y);
  tips.forEach(({ x, y }, i) => {
    const length = Math.hypot(x, y), [right, down] = length > 4 ? [x / length, y / length] : [0.7, 0.7];
    const at = [15, 22, 29, 36, 43].map((far) => ({ x: x + far * right, y: y + far * down }));
    const free = at.find((place) => tips.every((tip) => apart(tip, place) > 10)) ?? at[0];
    const same = places.find((place) => apart(place, free) < 13);
    if (same) same.text += `, ${i}`;
    else places.push({ ...free, text: `${i}` });
  });
  labels(places.length).forEach((label, at) => {
    const { x, y, text } = places[at], out = text.length > 2 ? widthOf(text, 12) / 2 - 6 : 0;
    put(label, { x: x + Math.sign(x) * out, y: y + 4.3 });
    write(label, text);
  });
}

/** The directions of features in 1 or 2 dimensions. */
export function directionsView() {
  /** @typedef {{model: Model, world: World, trail?: boolean}} Data */
  let data = /** @type {Data | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data));
  element.style.setProperty("overflow", "visible");
  const middle = make("g", {}, element);
  const axes = pool(middle, "line", DASHED)(2), ticks = pool(middle, "text", { ...LABEL, "font-size": 11 });
  const circle = make("circle", { fill: "none", stroke: "var(--line)" }, middle);
  const drawTrails = trailsOf(middle), shade = make("path", SHADE, middle);
  const arrows = pool(middle, "line", CAP), dots = pool(middle, "circle", RIM);
  const beads = pool(middle, "text", { "font-size": 11, "text-anchor": "middle", "font-weight": 600 });
  const numbers = pool(middle, "text", { ...LABEL, ...OVER });

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model, world, trail = false } = now, { n, m, W } = model, line = m === 1;
    const most = line ? Math.max(76, 20 * n + 36) : Infinity;
    const height = (/** @type {number} */ width) => Math.min(width, most);
    const width = fit(height), half = width / 2, high = height(width), thick = thickness(width);
    const colors = importanceColors(world);
    const length = (/** @type {number} */ i) => finite(Math.hypot(W[i], line ? 0 : W[n + i]));
    const scale = half / reachOf(colors.reduce((most, _, i) => Math.max(most, length(i)), 0));
    const beaded = line && n <= NUMBERED, radius = beaded ? 9 : 3.6 * thick;
    const xs = colors.map((_, i) => scale * finite(W[i]));
    const apart = Math.min(2 * radius + 1.5, (high - 36) / n);
    const ys = line ? besides(xs, apart) : xs.map((_, i) => -scale * finite(W[n + i]));
    const tips = xs.map((x, i) => ({ x, y: ys[i], from: line ? ys[i] : 0 }));
    put(middle, { transform: `translate(${half} ${line ? high / 2 - 9 : half})` });
    put(axes[0], { x1: -half, x2: half });
    put(axes[1], { y1: -half, y2: half, display: line ? "none" : "inline" });
    put(circle, { r: line ? 0 : scale });
    ticks(line ? 3 : 0).forEach((tick, at) => {
      put(tick, { x: (at - 1) * scale, y: high / 2 + 5 });
      write(tick, ["−1", "0", "1"][at]);
    });
    drawTrails(trail && !line ? W.subarray(0, 2 * n) : undefined, scale, colors);
    put(shade, { d: starOf(tips), "stroke-width": 2.2 * thick + 1.3 });
    arrows(n).forEach((arrow, at) => {
      const i = n - 1 - at, { x, y, from } = tips[i]; // the first feature on top
      put(arrow, { x2: x, y1: from, y2: y, stroke: colors[i], "stroke-width": 2.2 * thick });
    });
    dots(n).forEach((dot, at) => {
      const i = n - 1 - at, { x, y } = tips[i];
      put(dot, { cx: x, cy: y, r: radius, fill: colors[i] });
    });
    beads(beaded ? n : 0).forEach((bead, i) => {
      put(bead, { x: tips[i].x, y: tips[i].y + 4, fill: inkOn(colors[i]) });
      write(bead, `${i}`);
    });
    writeNumbers(numbers, line || n > NUMBERED ? [] : tips);
    say(() => seen(model));
  };
  return { element, draw };
}

/** Where the tips were in the last draws, paler the longer ago. @param {Element} parent */
function trailsOf(parent) {
  const paths = pool(parent, "path", { fill: "none", "stroke-width": 1.5, "stroke-linejoin": "round" });
  let past = /** @type {Float64Array[]} */ ([]);
  /** @param {Float64Array | undefined} W of 2 dimensions @param {number} scale @param {string[]} colors */
  return (W, scale, colors) => {
    const n = colors.length, last = past.at(-1);
    if (!W || last?.length !== 2 * n) past = [];
    if (W && !(past.length > 0 && last?.every((x, at) => Math.abs(x - W[at]) < 1e-4))) past.push(W.slice());
    if (past.length > 40) past.shift();
    const ages = n > 30 ? [[0, 14, 0.35]] : [[0, 8, 0.5], [8, 22, 0.3], [22, 40, 0.15]];
    const newest = past.length - 1;
    paths(W ? n * ages.length : 0).forEach((path, at) => {
      const i = at % n, [young, old, opacity] = ages[Math.floor(at / n)];
      const steps = past.slice(Math.max(0, newest - old), Math.max(0, newest - young + 1));
      const d = steps.map((W, k) => `${k ? "L" : "M"}${pair(scale * W[i], -scale * W[n + i])}`).join("");
      put(path, { d, stroke: colors[i], "stroke-opacity": opacity });
    });
  };
}

/** Lines to tips as one path. @param {{x: number, y: number, from: number}[]} tips */
function starOf(tips) {
  return tips.map(({ x, y, from }) => `M${pair(0, from)}L${pair(x, y)}`).join("");
}

/** How far points on a line must be moved off it so that they are so far apart. One after the other stays as
 * near to the line as it can. @param {number[]} xs @param {number} apart */
function besides(xs, apart) {
  const ys = /** @type {number[]} */ ([]);
  for (const x of xs) {
    const near = ys.map((y, j) => ({ y, dx: Math.abs(xs[j] - x) })).filter(({ dx }) => dx < apart - 1e-9)
      .map(({ y, dx }) => ({ y, room: Math.sqrt(apart * apart - dx * dx) }));
    const free = (/** @type {number} */ at) => near.every(({ y, room }) => Math.abs(y - at) > room - 1e-6);
    const tries = [0, ...near.flatMap(({ y, room }) => [y - room, y + room])];
    ys.push(tries.sort((a, b) => Math.abs(a) - Math.abs(b)).find(free) ?? 0);
  }
  return ys;
}

/**
 * The directions of features in 3 dimensions, or along the first three principal axes of more: turned by
 * dragging and by the arrow keys.
 * @param {{onTurn?: (turn: Turn) => void}} [settings]
 */
export function spaceView({ onTurn = () => {} } = {}) {
  /** @typedef {{model: Model, world: World, turn: Turn, found?: Polytope[]}} Data */
  let data = /** @type {Data | undefined} */ (undefined);
  let before = /** @type {Float64Array | undefined} */ (undefined); // axes do not flip from draw to draw
  const { element, fit, say } = picture(() => data && draw(data));
  turnable(element, () => data?.turn, (turn) => {
    if (data) draw({ ...data, turn });
    onTurn(turn);
  });
  const note = make("text", { ...LABEL, "text-anchor": "start", x: 2 }, element);
  const middle = make("g", {}, element);
  const sphere = make("circle", { fill: "none", stroke: "var(--line)" }, middle);
  const equator = make("path", DASHED, middle), axes = pool(middle, "line", DASHED)(3);
  const edges = pool(middle, "line", CAP), shade = make("path", { ...SHADE, "stroke-opacity": 0.15 }, middle);
  const arrows = pool(middle, "line", CAP), dots = pool(middle, "circle", RIM);
  const numbers = pool(middle, "text", { ...LABEL, ...OVER });

  /** @param {Data} now */
  const draw = (now) => {
    data = now;
    const { model, world, turn, found = [] } = now, { n, m } = model, colors = importanceColors(world);
    const width = fit((width) => width), half = width / 2, thick = thickness(width);
    const main = m > 3 && model.W.every(Number.isFinite)
      ? principalAxes(model, before?.length === m * m ? before : undefined) : undefined;
    before = main?.axes;
    const tips3 = project(model, main?.axes ?? unitAxes(m), 3).map(finite);
    const length = (/** @type {number} */ i) => Math.hypot(tips3[3 * i], tips3[3 * i + 1], tips3[3 * i + 2]);
    const reach = reachOf(colors.reduce((most, _, i) => Math.max(most, length(i)), 0));
    const seenAt = camera(turn, reach, half);
    const tips = colors.map((_, i) => seenAt(tips3[3 * i], tips3[3 * i + 1], tips3[3 * i + 2]));
    const clear = (/** @type {number} */ near) => 0.72 + 0.28 * Math.max(-1, Math.min(1, 1.3 * near));

    put(middle, { transform: `translate(${half} ${half})` });
    put(sphere, { r: seenAt.radius });
    const ring = Array.from({ length: 48 }, (_, at) => (at * Math.PI) / 24)
      .map((angle) => seenAt(Math.cos(angle), Math.sin(angle), 0));
    put(equator, { d: `M${ring.map(({ x, y }) => pair(x, y)).join("L")}Z` });
    axes.forEach((axis, k) => {
      const far = [0, 1, 2].map((other) => (other === k ? reach : 0));
      const a = seenAt(far[0], far[1], far[2]), b = seenAt(-far[0], -far[1], -far[2]);
      put(axis, { x1: a.x, y1: a.y, x2: b.x, y2: b.y });
    });
    const pairs = edgesOf(model, found);
    edges(pairs.length).forEach((edge, at) => {
      const { i, j, name } = pairs[at], a = tips[i], b = tips[j], near = (a.near + b.near) / 2;
      put(edge, { x1: a.x, y1: a.y, x2: b.x, y2: b.y, stroke: polytopeColor(name) });
      put(edge, { "stroke-width": 1.3 * thick, "stroke-opacity": 0.75 * clear(near) });
    });
    put(shade, { d: starOf(tips.map(({ x, y }) => ({ x, y, from: 0 }))), "stroke-width": 2 * thick + 1.3 });
    const order = [...tips.keys()].sort((i, j) => tips[i].near - tips[j].near);
    arrows(n).forEach((arrow, at) => {
      const { x, y, near } = tips[order[at]];
      put(arrow, { x2: x, y2: y, stroke: colors[order[at]] });
      put(arrow, { "stroke-width": thick * (2 + 0.7 * near), "stroke-opacity": clear(near) });
    });
    dots(n).forEach((dot, at) => {
      const { x, y, near } = tips[order[at]], r = thick * (4 + 1.6 * near);
      put(dot, { cx: x, cy: y, r, fill: colors[order[at]], "fill-opacity": clear(near) });
    });
    writeNumbers(numbers, n > NUMBERED ? [] : tips);
    const share = Math.round(100 * (main ? main.share[0] + main.share[1] + main.share[2] : 1));
    put(note, { y: width - 4 });
    write(note, main && share >= 0 ? `3 of ${m} principal axes: ${share}% of |W|²` : "");
    const more = main && share >= 0 ? `; three principal axes show ${share}%` : "";
    say(() => seen(model, found.length > 0 ? found : undefined) + more);
  };
  return { element, draw };
}

/** A drag across the picture turns it by half a round, an arrow key by 6 degrees.
 * @param {SVGSVGElement} element @param {() => Turn | undefined} current
 * @param {(turn: Turn) => void} take */
function turnable(element, current, take) {
  put(element, { tabindex: 0, "aria-description": "Drag it, or use the arrow keys, to turn it." });
  element.style.setProperty("touch-action", "none");
  element.style.setProperty("cursor", "grab");
  let held = /** @type {(Place & {turn: Turn}) | undefined} */ (undefined);
  element.addEventListener("pointerdown", (event) => {
    const turn = current();
    if (!turn) return;
    held = { ...pointerAt(element, event), turn };
    element.setPointerCapture(event.pointerId);
    element.style.setProperty("cursor", "grabbing");
  });
  element.addEventListener("pointermove", (event) => {
    if (!held) return;
    const { x, y } = pointerAt(element, event), degrees = 180 / element.viewBox.baseVal.width;
    take(turnedBy(held.turn, (x - held.x) * degrees, (y - held.y) * degrees));
  });
  element.addEventListener("lostpointercapture", () => {
    held = undefined;
    element.style.setProperty("cursor", "grab");
  });
  element.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const turn = current();
    if (!way || !turn || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    take(turnedBy(turn, 6 * way[0], 6 * way[1]));
  });
}

/** @param {Turn} turn @param {number} right @param {number} up @returns {Turn} */
function turnedBy({ azimuth, elevation }, right, up) {
  return {
    azimuth: (((azimuth - right) % 360) + 360) % 360,
    elevation: Math.max(-90, Math.min(90, elevation + up)),
  };
}

/**
 * Where a point is on the picture, from a distance of 4 times the reach, and how near it is: 1 in front, -1
 * at the back. `radius` is that of the unit sphere.
 * @param {Turn} turn @param {number} reach @param {number} half of the picture's width
 */
function camera({ azimuth, elevation }, reach, half) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  const [ca, sa, ce, se] = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
  const scale = (0.92 * half) / reach, distance = 4 * reach;
  /** @param {number} x @param {number} y @param {number} z */
  const seenAt = (x, y, z) => {
    const out = ca * x + sa * y, near = ce * out + se * z, larger = (scale * distance) / (distance - near);
    return { x: larger * (ca * y - sa * x), y: -larger * (ce * z - se * out), near: near / reach };
  };
  return Object.assign(seenAt, { radius: (scale * distance) / Math.sqrt(distance * distance - 1) });
}

/** @param {number} m */
function unitAxes(m) {
  return new Float64Array(m * m).map((_, at) => (at % (m + 1) === 0 ? 1 : 0));
}

/** The edges of polytopes with a name: from each feature to those whose cosine is about the largest.
 * @param {Model} model @param {Polytope[]} found */
function edgesOf(model, found) {
  const named = found.filter(({ name, features }) => name !== "unnamed" && features.length > 1);
  if (named.length === 0) return [];
  const all = cosines(model);
  const cosine = (/** @type {number} */ i, /** @type {number} */ j) => all[i * model.n + j];
  return named.flatMap(({ name, features }) => {
    const least = features.map((i) => Math.max(...features.map((j) => (i === j ? -1 : cosine(i, j)))) - 0.25);
    const pairs = features.flatMap((i, a) => features.slice(0, a).map((j, b) => ({ i, j, name, a, b })));
    return pairs.filter(({ i, j, a, b }) => cosine(i, j) >= Math.min(least[a], least[b]));
  });
}

/** The features as points, linked where they interfere, each polytope by itself. */
export function graphView() {
  /** @typedef {{model: Model, world: World, found: Polytope[]}} Data */
  let data = /** @type {Data | undefined} */ (undefined);
  const { element, fit, say } = picture(() => data && draw(data)), slowly = throttled(200);
  const links = pool(element, "line", { stroke: "var(--soft)", "stroke-opacity": 0.6 });
  const dots = pool(element, "circle", RIM), names = pool(element, "text", { ...LABEL, "font-size": 11 });
  const empty = make("text", { ...LABEL, "font-size": 14 }, element);

  const paint = () => {
    if (!data) return;
    const { model, found } = data, { position, links: pairs } = graphLayout(model, found);
    const width = fit((width) => width), thick = thickness(width), labeled = found.length <= 12;
    const placeOf = placedIn(width, labeled, position, found);
    links(pairs.length).forEach((link, at) => {
      const { i, j, width: strong } = pairs[at], a = placeOf(i), b = placeOf(j);
      put(link, { x1: a.x, y1: a.y, x2: b.x, y2: b.y, "stroke-width": Math.min(6, 1.8 * thick * strong) });
    });
    const features = found.flatMap(({ name, features }) => features.map((i) => ({ i, name })));
    dots(features.length).forEach((dot, at) => {
      const { i, name } = features[at], { x, y } = placeOf(i);
      put(dot, { cx: x, cy: y, r: 4.5 * thick, fill: polytopeColor(name) });
    });
    names(labeled ? found.length : 0).forEach((label, at) => {
      const { name, features } = found[at], places = features.map(placeOf), xs = places.map(({ x }) => x);
      const y = Math.max(...places.map(({ y }) => y)) + 20;
      put(label, { x: (Math.min(...xs) + Math.max(...xs)) / 2, y });
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

/** From a layout to places on the picture, in its middle.
 * @param {number} width @param {boolean} labeled @param {Float64Array} position @param {Polytope[]} found */
function placedIn(width, labeled, position, found) {
  const features = found.flatMap((part) => part.features), margin = labeled ? 42 : 14;
  const [x, y] = [0, 1].map((d) => {
    const along = features.map((i) => position[2 * i + d]);
    const low = Math.min(...along), high = Math.max(...along);
    return { middle: (low + high) / 2, size: high - low };
  });
  const scale = Math.min(90, (width - 2 * margin) / Math.max(x.size, y.size, 0.1));
  return (/** @type {number} */ i) => ({
    x: width / 2 + scale * (position[2 * i] - x.middle),
    y: width / 2 - scale * (position[2 * i + 1] - y.middle) - (labeled ? 8 : 0),
  });
}
