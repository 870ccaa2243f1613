// Pictures of the phase diagram: the map with its borders, a path and a cursor; the key to its colors; losses along a
// path.

import { phaseColor } from "./colors.js";
import { brief } from "./controls.js";
import { cellPlace, DIAGRAMS, SIDE } from "./diagram.js";
import { h } from "./dom.js";
import { make, picture, pointerAt, pool, put, widthOf, write } from "./svg.js";
import { phaseBoundary, PHASES } from "./theory.js";

/** @import { Model } from "./exact.js" */
/** @import { State } from "./state.js" */
/** A solution in a cell, and what becomes of the extra feature in it: its length, its superposition, and their color.
 * @typedef {{model: Model, loss: number, phase: number, norm: number, shared: number, color: number[]}} Point */
/** What the map is told: the cell pointed at, and the next cell of a path or its first, by mouse or touch; that the
 * path is over; and a step by keys.
 * @typedef {{point: (cell: number | null) => void, drag: (cell: number, begins: boolean) => void, end: () => void,
 *   key: (right: number, up: number, follows: boolean) => void}} Pointing */
/** What the map shows. @typedef {{diagram: State["diagram"], cell: number, path: number[], label: string}} Shown */

/** Where the names of the phases are: column, row, and their width, in cells.
 * @type {Record<State["diagram"], [number, number, number][]>} */
const AREAS = {
  "2-in-1": [[10, 44, 19], [38, 44.6, 23], [24.5, 20, 40]],
  "3-in-2": [[9.5, 44, 19], [37, 46.3, 24], [12, 20, 23], [37, 20, 23]],
};
/** Colors on the map, which are the same in light and dark. */
const DARK = "#1d1d1b", LIGHT = "#ffffff";
const WORDS = { "font-size": 13, fill: "var(--soft)" };

/** @param {number} x @param {number} y */
function spot(x, y) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

/** @param {string[]} spots */
function polyline(spots) {
  return spots.length > 1 ? `M${spots.join("L")}` : "M0 0";
}

/** @param {Pointing} on */
export function mapView(on) {
  const left = 50, top = 6, view = picture(() => last && draw(last)), { element } = view;
  let side = 300, last = /** @type {Shown | null} */ (null), dragging = false;
  const x = (/** @type {number} */ column) => left + ((column + 0.5) / SIDE) * side;
  const y = (/** @type {number} */ row) => top + side - ((row + 0.5) / SIDE) * side;
  const middleOf = (/** @type {number} */ cell) => [x(cell % SIDE), y(Math.floor(cell / SIDE))];

  put(element, { role: "application", tabindex: 0, "aria-roledescription": "map" });
  const canvas = h("canvas", { width: SIDE, height: SIDE });
  const colors = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = make("image",
    { x: left, y: top, preserveAspectRatio: "none", "image-rendering": "pixelated" }, element);
  const lines = make("g", { fill: "none", "stroke-linejoin": "round" }, element);
  const halo = make("path", { stroke: LIGHT, "stroke-opacity": 0.7, "stroke-width": 3.5 }, lines);
  const border = make("path", { stroke: DARK, "stroke-width": 1.5, "stroke-dasharray": "5 3" }, lines);
  const names = pool(element, "text", { "text-anchor": "middle" });
  const ticks = pool(element, "text", WORDS), marks = pool(element, "path", { stroke: "var(--line)" });
  const titles = pool(element, "text", { "font-size": 13, fill: "var(--ink)", "text-anchor": "middle" })(2);
  write(titles[0], "importance of the extra feature");
  write(titles[1], "density");
  const twice = make("g", { fill: "none", "stroke-linejoin": "round", "stroke-linecap": "round" }, element);
  const ways = [LIGHT, DARK].map((stroke, i) => make("path", { stroke, "stroke-width": 5 - 3 * i }, twice));
  const first = make("circle", { r: 4, fill: DARK, stroke: LIGHT, "stroke-width": 1.5 }, element);
  const cursor = [LIGHT, DARK].map((stroke, i) => make("rect", { stroke, "stroke-width": 4 - 2 * i, rx: 1 }, twice));
  const touched = make("rect", { x: left, y: top, fill: "transparent", class: "touched" }, element);

  /** @param {PointerEvent} event */
  function cellAt(event) {
    const at = pointerAt(element, event);
    const [row, column] = [1 - (at.y - top) / side, (at.x - left) / side]
      .map((share) => Math.min(SIDE - 1, Math.max(0, Math.floor(share * SIDE))));
    return row * SIDE + column;
  }
  touched.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    touched.setPointerCapture(event.pointerId);
    dragging = true;
    on.drag(cellAt(event), true);
  });
  touched.addEventListener("pointermove", (event) => {
    if (dragging) on.drag(cellAt(event), false);
    else on.point(cellAt(event));
  });
  const end = () => {
    if (dragging) on.end();
    dragging = false;
  };
  touched.addEventListener("pointerup", end);
  touched.addEventListener("pointercancel", end);
  touched.addEventListener("pointerleave", () => on.point(null));
  element.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    on.key(move[0], move[1], event.shiftKey);
  });

  /** @param {Shown} shown */
  function draw(shown) {
    last = shown;
    const width = view.fit((width) => Math.min(width - left - 8, 640) + top + 48);
    side = Math.min(width - left - 8, 640);
    for (const each of [image, touched]) put(each, { width: side, height: side });
    drawBorders(DIAGRAMS[shown.diagram].n);
    drawNames(shown.diagram);
    drawAxes();
    drawPath(shown);
    put(element, { "aria-label": shown.label });
  }

  /** @param {number} n */
  function drawBorders(n) {
    const shared = Array.from({ length: 101 }, (_, i) => {
      const importance = 10 ** ((i / 50 - 1) * 1.02);
      return cellPlace({ density: phaseBoundary(n, importance), importance });
    });
    const { row, column } = shared[50], foot = n === 2 ? y(row) : top + side; // where importances are equal
    const d = polyline(shared.map((at) => spot(x(at.column), y(at.row))))
      + `M${spot(x(column), top)}V${foot.toFixed(1)}`;
    for (const each of [halo, border]) put(each, { d });
  }

  /** @param {State["diagram"]} diagram */
  function drawNames(diagram) {
    const size = side < 400 ? 12 : 13;
    const labels = AREAS[diagram].flatMap(([column, row, wide], phase) => {
      const lines = wrapped(PHASES[DIAGRAMS[diagram].n][phase], (wide / SIDE) * side, size);
      const from = y(row) + 5 - ((size + 3) * (lines.length - 1)) / 2;
      return lines.map((text, i) =>
        ({ text, x: x(column), y: from + (size + 3) * i, fill: phase === 0 ? DARK : LIGHT }));
    });
    names(labels.length).forEach((label, i) => {
      const { text, ...at } = labels[i];
      put(label, { ...at, "font-size": size });
      write(label, text);
    });
  }

  function drawAxes() {
    const below = top + side;
    const across = [0.1, 0.3, 1, 3, 10].map((importance) => {
      const at = x(cellPlace({ density: 1, importance }).column);
      return { text: `${importance}×`, d: `M${spot(at, below)}v5`, x: at, y: below + 19, "text-anchor": "middle" };
    });
    const up = [0.01, 0.03, 0.1, 0.3, 1].map((density) => {
      const at = y(cellPlace({ density, importance: 1 }).row);
      return { text: `${density}`, d: `M${spot(left, at)}h-5`, x: left - 8, y: at + 4.5, "text-anchor": "end" };
    });
    const all = [...across, ...up], lines = marks(all.length);
    ticks(all.length).forEach((tick, i) => {
      const { text, d, ...at } = all[i];
      put(tick, at);
      write(tick, text);
      put(lines[i], { d });
    });
    put(titles[0], { x: left + side / 2, y: below + 40 });
    put(titles[1], { transform: `translate(${spot(11, top + side / 2)}) rotate(-90)` });
  }

  /** @param {Shown} shown */
  function drawPath({ path, cell }) {
    const middles = path.map(middleOf), box = Math.max(side / SIDE, 9), [cx, cy] = middleOf(cell);
    for (const each of ways) put(each, { d: polyline(middles.map(([x, y]) => spot(x, y))) });
    put(first, {
      cx: middles[0]?.[0] ?? 0, cy: middles[0]?.[1] ?? 0, visibility: path.length > 1 ? "visible" : "hidden",
    });
    for (const each of cursor) put(each, { x: cx - box / 2, y: cy - box / 2, width: box, height: box });
  }

  return {
    element, draw,
    /** Color the cells. @param {(cell: number) => Point | undefined} pointIn */
    paint(pointIn) {
      const pixels = colors.createImageData(SIDE, SIDE);
      for (let cell = 0; cell < SIDE * SIDE; cell++) {
        const point = pointIn(cell), row = SIDE - 1 - Math.floor(cell / SIDE); // the first row of an image is on top
        if (point) pixels.data.set([...point.color, 255], 4 * (row * SIDE + (cell % SIDE)));
      }
      colors.putImageData(pixels, 0, 0);
      image.setAttribute("href", canvas.toDataURL());
    },
  };
}

/** A text in lines. @param {string} text @param {number} wide @param {number} size of letters */
function wrapped(text, wide, size) {
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`.trim();
    if (lines.length && widthOf(longer, size) <= wide) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** The key to the map's colors and lines. */
export function keyView() {
  const canvas = h("canvas", {
    width: 32, height: 32, role: "img",
    "aria-label": "Gray: the extra feature is not stored. Blue: it has a dimension of its own. Red: it shares one.",
  });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  for (let row = 0; row < 32; row++) {
    for (let column = 0; column < 32; column++) {
      context.fillStyle = phaseColor(column / 31, row / 31);
      context.fillRect(column, 31 - row, 1, 1);
    }
  }
  return h("div", { class: "key" },
    canvas,
    h("p", {},
      h("b", {}, "Across:"), " length of the extra feature, 0 to 1. ",
      h("b", {}, "Up:"), " its superposition, 0 to 1. ",
      "Gray is not stored, blue has a dimension of its own, red shares one."),
    h("p", {}, h("span", { class: "border" }), " borders in theory, for the paper's fixed solutions"));
}

/** The loss along a path: of the best in each cell, and of the solution that is followed. */
export function pathView() {
  /** @typedef {(Point | undefined)[]} Points */
  const view = picture(() => last && draw(...last)), { element } = view;
  const high = 150, left = 56, right = 8, top = 8, bottom = 24, floor = high - bottom;
  let last = /** @type {[Points, Points] | null} */ (null);
  const between = make("path", { fill: "var(--accent)", "fill-opacity": 0.16 }, element);
  const ground = make("path", { stroke: "var(--line)" }, element);
  const changes = pool(element, "path", { stroke: "var(--soft)", "stroke-dasharray": "3 3" });
  const labels = pool(element, "text", WORDS), keys = pool(element, "text", { "font-size": 13, "font-weight": 600 })(2);
  const group = make("g", { fill: "none", "stroke-width": 2, "stroke-linejoin": "round" }, element);
  const [bestLine, followedLine] = ["var(--ink)", "var(--accent)"].map((stroke) => make("path", { stroke }, group));
  write(keys[0], "best");
  write(keys[1], "followed");

  /** @param {Points} followed @param {Points} best in each cell of the path, as far as they are known */
  function draw(followed, best) {
    last = [followed, best];
    element.toggleAttribute("hidden", best.length < 2);
    if (best.length < 2) return;
    const width = view.fit(() => high), both = followed.map((point, at) => [point, best[at]]);
    const most = Math.max(1e-9, ...[...best, ...followed].map((point) => point?.loss ?? 0));
    const x = (/** @type {number} */ at) => left + (at / (best.length - 1)) * (width - left - right);
    const y = (/** @type {number} */ loss) => floor - (loss / most) * (floor - top);
    const spots = (/** @type {Points} */ points) =>
      points.flatMap((point, at) => (point ? [spot(x(at), y(point.loss))] : []));
    put(bestLine, { d: polyline(spots(best)) });
    put(followedLine, { d: polyline(spots(followed)) });
    const under = both.map(([, point]) => point), over = both.map(([point, other]) => (other ? point : undefined));
    put(between, { d: `${polyline([...spots(over), ...spots(under).reverse()])}Z` });
    put(ground, { d: `M${left} ${floor}H${width - right}` });
    const borders = best.flatMap((point, at) => {
      const before = best[at - 1];
      return point && before && point.phase !== before.phase ? [x(at - 0.5)] : [];
    });
    changes(borders.length).forEach((line, i) => put(line, { d: `M${spot(borders[i], top)}V${floor}` }));
    const texts = [
      { text: brief(most, 2), x: left - 6, y: top + 9, "text-anchor": "end" },
      { text: "loss", x: left - 6, y: (top + floor) / 2 + 4, "text-anchor": "end" },
      { text: "0", x: left - 6, y: floor + 4, "text-anchor": "end" },
      { text: "along the path", x: left, y: high - 5, "text-anchor": "start" },
    ];
    labels(texts.length).forEach((label, i) => {
      const { text, ...at } = texts[i];
      put(label, at);
      write(label, text);
    });
    put(keys[0], { x: width - right - 76, y: high - 5, fill: "var(--ink)", "text-anchor": "end" });
    put(keys[1], { x: width - right, y: high - 5, fill: "var(--accent)", "text-anchor": "end" });
    const [here, other] = both[best.length - 1] ?? [];
    const ends = here && other
      ? ` At its end the best has ${brief(other.loss)}, the followed solution ${brief(here.loss)}.` : "";
    view.say(() => `Loss along a path of ${best.length} cells.${ends}`);
  }
  return { element, draw };
}
