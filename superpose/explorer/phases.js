// The phase map: what the best model does with one feature, over its importance and the density; and how a solution
// that is followed across a border stays what it was.

import { phaseColor, rgbOf } from "./colors.js";
import { brief, choice, steady } from "./controls.js";
import { cellOf, DIAGRAMS, followed, lattice, nearestCell, phaseOf, cellPlace, SIDE, wayBetween } from "./diagram.js";
import { h } from "./dom.js";
import { norms, superposition } from "./measures.js";
import { make, picture, pointerAt, pool, put, widthOf, write } from "./svg.js";
import { phaseWorld } from "./tasks.js";
import { phaseBoundary, phaseLosses, PHASES } from "./theory.js";
import { directionsView } from "./views.js";

/** @import { App } from "./app.js" */
/** @import { Model } from "./exact.js" */
/** @import { State } from "./state.js" */
/** @typedef {State["diagram"]} Name */
/** A solution in a cell, and what becomes of the extra feature in it. @typedef {{model: Model, loss: number, phase: number, norm: number, shared: number, color: number[]}} Point */
/** The best of a cell. @typedef {Point & {reached: number, seed: number}} Best */
/**
 * What is known of a diagram: the best of all starts, and of a few until those are done.
 * @typedef {{best: (Best | undefined)[], rough: (Best | undefined)[], done: number, seconds: number}} Known
 */

/** So many cells keep a Worker busy for 20 to 50 ms. @type {Record<Name, number>} */
const CHUNK = { "2-in-1": 16, "3-in-2": 2 };
/** Starts in a cell of the first, coarse picture. */
const FEW = 3;
/** Where the names of the phases are: column, row, and their width, in cells. @type {Record<Name, [number, number, number][]>} */
const AREAS = {
  "2-in-1": [[10, 44, 19], [38, 44, 23], [24.5, 20, 40]],
  "3-in-2": [[9.5, 44, 19], [37, 46.3, 24], [12, 20, 23], [37, 20, 23]],
};
const USUAL_CELL = 30 * SIDE + 10;
const LONGEST_PATH = 400;

/** @param {Model} model @param {number} loss @returns {Point} */
function pointOf(model, loss) {
  const norm = norms(model)[model.n - 1], shared = superposition(model)[model.n - 1];
  return { model, loss, phase: phaseOf(model), norm, shared, color: rgbOf(phaseColor(norm, shared)) };
}

/** @param {App} app */
export function phasesPart(app) {
  const size = SIDE * SIDE;
  /** @returns {Known} */
  const nothing = () => ({ best: Array(size), rough: Array(size), done: 0, seconds: 0 });
  /** @type {Record<Name, Known>} */
  const all = { "2-in-1": nothing(), "3-in-2": nothing() };
  /** @type {{name: Name, path: number[], points: Point[]}} the solution that is followed, as far as it is known */
  let trail = { name: "2-in-1", path: [], points: [] };
  let name = app.state.diagram, shown = false, turn = 0, flying = 0, framed = false, dirty = true, since = 0, saying = 0;
  /** @type {Set<number>} cells that Workers are busy with; negative, less 1, for the coarse picture */
  let asked = new Set();
  const asking = (/** @type {number} */ cell, /** @type {number} */ starts) => (starts === FEW ? -1 - cell : cell);
  /** @type {number | null} the cell under the mouse */
  let pointed = null;
  /** @type {number[]} */
  let path = [];

  const intro = h("p", { class: "intro" }, "One feature, the extra one, matters more or less than the others. Each cell is a world of its own, and its color is what the best model does there with the extra feature. Point at a cell to see its model; drag to follow a model from world to world.");
  const diagrams = choice("Features", { "2-in-1": "2 in 1 dimension", "3-in-2": "3 in 2 dimensions" }, (diagram) => app.set({ diagram, path: [] }), true);
  const progress = h("p", { class: "readout" });
  const map = mapView({ point: pointAt, drag: dragTo, end: () => app.set({ path }), key: moveBy });
  const views = [directionsView(), directionsView()];
  const pictures = views.map((view) => h("figure", { class: "picture" }, view.element));
  const pair = h("div", { class: "pair" }, ...pictures);
  const place = h("p", { class: "name" }), prototype = h("p", { class: "readout" }), said = h("p", { class: "said" });
  const rows = ["loss", "phase", "length of the extra feature", "its superposition", "found by"].map((label) => {
    const head = h("th", { scope: "row" }, label), cells = [h("td", {}), h("td", {})];
    return { head, cells, element: h("tr", {}, head, ...cells) };
  });
  const heads = [h("th", { scope: "col" }), h("th", { scope: "col" }, "followed")];
  const table = h("table", {}, h("thead", {}, h("tr", {}, h("td", {}), ...heads)), h("tbody", {}, ...rows.map((row) => row.element)));
  const chart = pathView();
  const train = h("button", { class: "main", onclick: () => trainHere() }, "Train this cell in the playground");
  const across = h("button", { onclick: () => goAcross() }, "Follow it across the border");
  const forget = h("button", { class: "bare", onclick: () => app.set({ path: path.slice(-1) }) }, "Clear the path");
  const element = h("div", { class: "phases" },
    h("section", { class: "map", "aria-label": "Phase map" },
      intro,
      h("div", { class: "toolbar" }, diagrams.element, progress),
      map.element, keyView()),
    h("section", { class: "cell readings", "aria-label": "The cell" },
      h("div", {}, place, pair, table, prototype),
      h("div", { class: "row" }, train, across, forget),
      h("div", { class: "reading" }, said, chart.element)));

  const open = () => path.at(-1) ?? USUAL_CELL;
  const seen = () => pointed ?? open();

  /** @param {number | null} cell */
  function pointAt(cell) {
    pointed = cell;
    wake();
  }

  /** @param {number} cell @param {boolean} begins whether a new path begins here */
  function dragTo(cell, begins) {
    walking = 0;
    pointed = null;
    extend(begins ? [cell] : [...path, ...wayBetween(path.at(-1) ?? cell, cell)]);
  }

  /** @param {number[]} longer */
  function extend(longer) {
    if (longer.length > LONGEST_PATH) app.announce("The path is as long as it can be.");
    path = longer.slice(0, LONGEST_PATH);
    app.set({ path }, { quiet: true });
    wake();
  }

  /** @param {number} right @param {number} up @param {boolean} follows */
  function moveBy(right, up, follows) {
    const at = open(), row = Math.floor(at / SIDE) + up, column = (at % SIDE) + right;
    if (row < 0 || row >= SIDE || column < 0 || column >= SIDE) return;
    walking = 0;
    pointed = null;
    const cell = row * SIDE + column;
    app.set({ path: (follows ? [...(path.length ? path : [at]), cell] : [cell]).slice(0, LONGEST_PATH) });
    clearTimeout(saying);
    saying = setTimeout(() => app.announce(inWords(cell)), 400);
  }

  /** @param {number} cell */
  function inWords(cell) {
    const best = all[name].best[cell], { density, importance } = cellOf(cell);
    const where = `density ${brief(density, 2)}, importance ${brief(importance, 2)} times`;
    return best ? `${where}: ${PHASES[DIAGRAMS[name].n][best.phase]}, loss ${brief(best.loss)}` : where;
  }

  let walking = 0;
  /** Follow the solution of this column from above the border of theory, where it is too dense to share, to far below. */
  function goAcross() {
    const column = open() % SIDE, { importance } = cellOf(column);
    const border = Math.round(cellPlace({ density: phaseBoundary(DIAGRAMS[name].n, importance), importance }).row);
    const first = Math.min(border + 6, SIDE - 1) * SIDE + column, way = [first, ...wayBetween(first, (border - 12) * SIDE + column)];
    if (app.calm) return app.set({ path: way });
    const mine = (walking = Date.now());
    const step = (/** @type {number} */ count) => {
      if (walking !== mine || !shown) return;
      if (count >= way.length) return app.set({ path: way });
      extend(way.slice(0, count));
      setTimeout(() => step(count + 1), 60);
    };
    step(1);
  }

  function trainHere() {
    const { n, m } = DIAGRAMS[name], cell = open(), { density, importance } = cellOf(cell);
    app.set({
      part: "play", features: n, hidden: m, density: Number(density.toPrecision(6)), decay: 1, extra: Number(importance.toPrecision(6)),
      values: "uniform", kind: "independent", output: "relu", layer: "linear", loss: "exact", start: "seed",
      seed: all[name].best[cell]?.seed ?? 0, steps: 0, changes: [], fork: -1,
    });
  }

  /** Keep the Workers busy: with the cells that one looks at, then with finer and finer lattices, the nearest first. */
  function work() {
    const { n, m, members } = DIAGRAMS[name], known = all[name], mine = turn, of = name;
    while (shown && flying < 2 * app.crew.size) {
      const { cells, starts } = nextCells();
      if (!cells.length) break;
      flying++;
      for (const cell of cells) asked.add(asking(cell, starts));
      app.crew.ask("solve", { cells: cells.map(cellOf), n, m, members: starts }, "phases").then((solved) => {
        solved.forEach(({ model, loss, reached, seed }, at) => {
          const best = { ...pointOf(model, loss), reached, seed };
          if (starts < members) known.rough[cells[at]] = best;
          else if (!known.best[cells[at]]) {
            known.best[cells[at]] = best;
            known.done++;
          }
        });
        if (of === name) dirty = true;
        if (mine !== turn) return;
        flying--;
        if (known.done === size) count();
        work();
        wake();
      }, (error) => app.announce(error.message));
    }
  }

  /** @returns {{cells: number[], starts: number}} */
  function nextCells() {
    const { members } = DIAGRAMS[name], { best, rough } = all[name], near = seen();
    const row = Math.floor(near / SIDE), column = near % SIDE;
    const far = (/** @type {number} */ cell) => (Math.floor(cell / SIDE) - row) ** 2 + ((cell % SIDE) - column) ** 2;
    const left = (/** @type {number[]} */ cells, /** @type {number} */ starts) =>
      cells.filter((cell) => !best[cell] && (starts === members || !rough[cell]) && !asked.has(asking(cell, starts)));
    const coarse = left(lattice(8), FEW);
    if (coarse.length && !best.some(Boolean)) return { cells: coarse.slice(0, Math.ceil((CHUNK[name] * members) / FEW / 2)), starts: FEW };
    const looked = left([...new Set([near, ...path, open()])], members);
    if (looked.length) return { cells: looked.slice(0, CHUNK[name]), starts: members };
    for (const step of [8, 4, 2, 1]) {
      const cells = left(lattice(step), members).sort((a, b) => far(a) - far(b));
      if (cells.length) return { cells: cells.slice(0, CHUNK[name]), starts: members };
    }
    return { cells: [], starts: members };
  }

  /** Add the time since work began to that of the diagram. */
  function count() {
    if (since) all[name].seconds += (performance.now() - since) / 1000;
    since = 0;
  }

  function begin() {
    turn++;
    flying = 0;
    asked = new Set();
    app.crew.drop("phases");
    since = shown && all[name].done < size ? performance.now() : 0;
    work();
  }

  /** Follow the solution along the path for some milliseconds; returns whether that is done. */
  function follow() {
    const { best } = all[name], kept = trail.path.findIndex((cell, at) => cell !== path[at]), end = performance.now() + 8;
    if (trail.name !== name || path.length < 2) trail = { name, path: [], points: [] };
    else if (kept >= 0) trail = { name, path: trail.path.slice(0, kept), points: trail.points.slice(0, kept) };
    while (path.length > 1 && trail.path.length < path.length && performance.now() < end) {
      const cell = path[trail.path.length], last = trail.points.at(-1), start = best[path[0]];
      if (!start) return true; // it is asked for, and will wake us
      const { model, loss } = last ? followed(last.model, cellOf(cell)) : start;
      trail.points.push(pointOf(model, loss));
      trail.path.push(cell);
    }
    return path.length < 2 || trail.path.length === path.length;
  }

  function wake() {
    if (framed || !shown) return;
    framed = true;
    requestAnimationFrame(draw);
  }

  function draw() {
    framed = false;
    if (!shown) return;
    const known = all[name], cell = seen(), n = DIAGRAMS[name].n, done = follow();
    if (dirty) map.paint((at) => nearBest(known, at));
    dirty = false;
    map.draw({ name, cell, path, label: `Phase map. ${inWords(cell)}` });
    const best = known.best[cell] ?? known.rough[cell], here = pointed === null && trail.path.length ? trail.points[trail.path.length - 1] : undefined;
    tell(cell, n, best, here);
    chart.draw(trail.points, path.map((at) => known.best[at]));
    const seconds = known.seconds + (since ? (performance.now() - since) / 1000 : 0), { members } = DIAGRAMS[name];
    write(progress, known.done === size
      ? `2,500 cells, each the best of ${members} starts, in ${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
      : `${known.done.toLocaleString("en")} of 2,500 cells, ${seconds.toFixed(0)} s`);
    if (!done) wake();
    if (known.done < size) work();
  }

  /** @param {number} cell @param {number} n @param {Best | undefined} best @param {Point | undefined} here */
  function tell(cell, n, best, here) {
    const at = cellOf(cell), names = PHASES[n], losses = phaseLosses(n, at.density, at.importance), least = Math.min(...losses);
    const { members } = DIAGRAMS[name], whole = best && best === all[name].best[cell];
    write(place, `Density ${brief(at.density, 2)}, extra feature ${brief(at.importance, 2)} × as important`);
    write(rows[2].head, `length of the extra feature, ${n - 1}`);
    write(heads[0], `best of ${whole ? members : FEW} starts`);
    heads[1].hidden = pictures[1].hidden = !here;
    for (const [i, point] of [best, here].entries()) {
      if (point) views[i].draw({ model: point.model, world: phaseWorld(at, n) });
      const over = here && best && i === 1 ? here.loss / best.loss - 1 : 0;
      const texts = point
        ? [steady(point.loss) + (over > 1e-4 ? ` (+${percent(over)})` : ""), names[point.phase], point.norm.toFixed(2), point.shared.toFixed(2), i === 0 && best ? `${Math.round(100 * best.reached)}% of starts` : "–"]
        : ["…", "…", "…", "…", "…"];
      rows.forEach((row, k) => {
        row.cells[i].hidden = i === 1 && !here;
        write(row.cells[i], texts[k]);
      });
    }
    const over = best ? least / best.loss - 1 : 0;
    write(prototype, `The best of the paper's fixed solutions here, “${names[losses.indexOf(least)]}”, has a loss of ${steady(least)}${best && over > 5e-5 ? `, ${percent(over)} more than the best model` : ""}.`);
    forget.hidden = path.length < 2;
    if (!here || !best) return write(said, path.length > 1 ? "" : "Drag across a border on the map, or hold Shift and use the arrow keys: the model of the first cell goes along, always in the minimum next to it.");
    const costs = trail.points.map((point, i) => point.loss / (all[name].best[trail.path[i]]?.loss ?? NaN) - 1);
    const cost = here.loss / best.loss - 1, most = Math.max(0, ...costs.filter(Number.isFinite));
    write(said, cost > 1e-4
      ? `Followed from the first cell, the model is ${percent(cost)} worse than the best${here.phase === best.phase ? "" : `, with “${names[here.phase]}”`}: it stays in its minimum, beyond the border at which another becomes better.`
      : `Followed from the first cell, the model is as good as the best here.${most > 1e-3 ? ` On the way it was up to ${percent(most)} worse: it stayed in its minimum, beyond the border at which another becomes better.` : ""}`);
  }

  return {
    element,
    show() {
      shown = true;
      this.update(app.state);
      begin();
      wake();
    },
    hide() {
      count();
      shown = false;
      walking = 0;
      turn++;
      app.crew.drop("phases");
    },
    /** @param {State} state */
    update(state) {
      path = state.path;
      intro.hidden = state.part === "lessons"; // which says it
      diagrams.set(state.diagram);
      if (state.diagram !== name) {
        count();
        name = state.diagram;
        dirty = true;
        pointed = null;
        if (shown) begin();
      }
      wake();
    },
    /** What exports take. */
    current: () => ({ pictures: { map: map.element } }),
  };
}

/** The best known of the nearest cell. @param {Known} known @param {number} cell */
function nearBest({ best, rough }, cell) {
  const near = nearestCell(cell, (at) => Boolean(best[at] ?? rough[at]));
  return near < 0 ? undefined : best[near] ?? rough[near];
}

/** @param {number} share */
function percent(share) {
  return `${brief(100 * share, share < 0.1 ? 2 : 3)}%`;
}

/**
 * The map: colors, borders and names, a path and a cursor.
 * @param {{point: (cell: number | null) => void, drag: (cell: number, begins: boolean) => void, end: () => void, key: (right: number, up: number, follows: boolean) => void}} on
 */
function mapView(on) {
  let side = 300, name = /** @type {Name} */ ("2-in-1"), last = /** @type {Parameters<typeof draw>[0] | null} */ (null), dragging = false;
  const left = 50, top = 6, view = picture(() => last && draw(last)), { element } = view;
  put(element, { role: "application", tabindex: 0, class: "field", "aria-roledescription": "map" });
  const canvas = document.createElement("canvas"), colors = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  canvas.width = canvas.height = SIDE;
  const image = make("image", { x: left, y: top, preserveAspectRatio: "none", "image-rendering": "pixelated" }, element);
  const halo = make("path", { fill: "none", stroke: "#ffffff", "stroke-opacity": 0.7, "stroke-width": 3.5 }, element);
  const border = make("path", { fill: "none", stroke: "#1d1d1b", "stroke-width": 1.5, "stroke-dasharray": "5 3" }, element);
  const names = pool(element, "text", { "text-anchor": "middle" });
  const ticks = pool(element, "text", { "font-size": 13, fill: "var(--soft)" }), marks = pool(element, "path", { stroke: "var(--line)" });
  const titles = [make("text", { "font-size": 13, fill: "var(--ink)", "text-anchor": "middle" }, element), make("text", { "font-size": 13, fill: "var(--ink)", "text-anchor": "middle" }, element)];
  write(titles[0], "importance of the extra feature");
  write(titles[1], "density");
  const ways = ["#ffffff", "#1d1d1b"].map((stroke, i) => make("path", { fill: "none", stroke, "stroke-width": 5 - 3 * i, "stroke-linejoin": "round", "stroke-linecap": "round" }, element));
  const first = make("circle", { r: 4, fill: "#1d1d1b", stroke: "#ffffff", "stroke-width": 1.5 }, element);
  const cursor = ["#ffffff", "#1d1d1b"].map((stroke, i) => make("rect", { fill: "none", stroke, "stroke-width": 4 - 2 * i, rx: 1 }, element));
  const touched = make("rect", { x: left, y: top, fill: "transparent", class: "touched" }, element);
  const x = (/** @type {number} */ column) => left + ((column + 0.5) / SIDE) * side;
  const y = (/** @type {number} */ row) => top + side - ((row + 0.5) / SIDE) * side;

  /** @param {PointerEvent} event */
  function cellAt(event) {
    const at = pointerAt(element, event), within = (/** @type {number} */ place) => Math.min(SIDE - 1, Math.max(0, Math.floor(place * SIDE)));
    return within(1 - (at.y - top) / side) * SIDE + within((at.x - left) / side);
  }
  touched.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    touched.setPointerCapture(event.pointerId);
    dragging = true;
    on.drag(cellAt(event), true);
  });
  touched.addEventListener("pointermove", (event) => (dragging ? on.drag(cellAt(event), false) : on.point(cellAt(event))));
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) touched.addEventListener(end, () => {
    if (dragging) on.end();
    dragging = false;
  });
  touched.addEventListener("pointerleave", () => on.point(null));
  element.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    on.key(move[0], move[1], event.shiftKey);
  });

  /** @param {{name: Name, cell: number, path: number[], label: string}} shown */
  function draw(shown) {
    last = shown;
    name = shown.name;
    const width = view.fit((all) => Math.min(all - left - 8, 640) + top + 48);
    side = Math.min(width - left - 8, 640);
    for (const each of [image, touched]) put(each, { width: side, height: side });
    const { n } = DIAGRAMS[name], line = Array.from({ length: 101 }, (_, i) => 10 ** ((i / 50 - 1) * 1.02));
    const middle = cellPlace({ density: phaseBoundary(n, 1), importance: 1 }), even = n === 2 ? y(middle.row) : top + side;
    const d = line.map((r, i) => {
      const at = cellPlace({ density: phaseBoundary(n, r), importance: r });
      return `${i ? "L" : "M"}${x(at.column).toFixed(1)} ${y(at.row).toFixed(1)}`;
    }).join("") + `M${x(middle.column).toFixed(1)} ${top}V${even.toFixed(1)}`;
    put(halo, { d });
    put(border, { d });
    const letters = side < 400 ? 12 : 13;
    const labels = AREAS[name].flatMap(([column, row, wide], phase) => {
      const lines = wrapped(PHASES[n][phase], (wide / SIDE) * side, letters);
      return lines.map((text, i) => ({ text, x: x(column), y: y(row) + 16 * (i - (lines.length - 1) / 2) + 5, fill: phase === 0 ? "#1d1d1b" : "#ffffff", "font-size": letters }));
    });
    names(labels.length).forEach((label, i) => {
      const { text, ...at } = labels[i];
      put(label, at);
      write(label, text);
    });
    const across = [0.1, 0.3, 1, 3, 10].map((importance) => ({ at: x(cellPlace({ density: 1, importance }).column), text: `${importance}×` }));
    const up = [0.01, 0.03, 0.1, 0.3, 1].map((density) => ({ at: y(cellPlace({ density, importance: 1 }).row), text: String(density) }));
    ticks(10).forEach((tick, i) => {
      const { at, text } = i < 5 ? across[i] : up[i - 5];
      put(tick, i < 5 ? { x: at, y: top + side + 19, "text-anchor": "middle" } : { x: left - 8, y: at + 4.5, "text-anchor": "end" });
      write(tick, text);
    });
    marks(10).forEach((mark, i) => put(mark, { d: i < 5 ? `M${across[i].at.toFixed(1)} ${top + side}v5` : `M${left} ${up[i - 5].at.toFixed(1)}h-5` }));
    put(titles[0], { x: left + side / 2, y: top + side + 40 });
    put(titles[1], { transform: `translate(11 ${(top + side / 2).toFixed(1)}) rotate(-90)` });
    const way = shown.path.map((at, i) => `${i ? "L" : "M"}${x(at % SIDE).toFixed(1)} ${y(Math.floor(at / SIDE)).toFixed(1)}`).join("");
    for (const each of ways) put(each, { d: shown.path.length > 1 ? way : "M0 0" });
    const start = shown.path[0] ?? 0;
    put(first, { cx: x(start % SIDE), cy: y(Math.floor(start / SIDE)), visibility: shown.path.length > 1 ? "visible" : "hidden" });
    const box = Math.max(side / SIDE, 9);
    for (const each of cursor) put(each, { x: x(shown.cell % SIDE) - box / 2, y: y(Math.floor(shown.cell / SIDE)) - box / 2, width: box, height: box });
    put(element, { "aria-label": shown.label });
  }

  return {
    element, draw,
    /** @param {(cell: number) => Point | undefined} pointAt */
    paint(pointAt) {
      const pixels = colors.createImageData(SIDE, SIDE);
      for (let cell = 0; cell < SIDE * SIDE; cell++) {
        const point = pointAt(cell), at = 4 * ((SIDE - 1 - Math.floor(cell / SIDE)) * SIDE + (cell % SIDE));
        if (point) pixels.data.set([...point.color, 255], at);
      }
      colors.putImageData(pixels, 0, 0);
      image.setAttribute("href", canvas.toDataURL());
    },
  };
}

/** A text in lines. @param {string} text @param {number} wide @param {number} size of letters */
function wrapped(text, wide, size) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (widthOf(longer, size) <= wide || !lines[lines.length - 1]) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** The key to the map's colors. */
function keyView() {
  const canvas = h("canvas", { width: 32, height: 32, role: "img", "aria-label": "Gray: the extra feature is not stored. Blue: it has a dimension of its own. Red: it shares one." });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  for (let row = 0; row < 32; row++) {
    for (let column = 0; column < 32; column++) {
      context.fillStyle = phaseColor(column / 31, row / 31);
      context.fillRect(column, 31 - row, 1, 1);
    }
  }
  const line = h("span", { class: "border" });
  return h("div", { class: "key" },
    canvas,
    h("p", {}, h("b", {}, "Across:"), " length of the extra feature, 0 to 1. ", h("b", {}, "Up:"), " its superposition, 0 to 1. Gray is not stored, blue has a dimension of its own, red shares one."),
    h("p", {}, line, " borders in theory, for the paper's fixed solutions"));
}

/** The loss along a path: of the best in each cell, and of the solution that is followed. */
function pathView() {
  const view = picture(() => last && draw(...last)), { element } = view, high = 150, left = 56, right = 8, top = 8, bottom = 24;
  let last = /** @type {Parameters<typeof draw> | null} */ (null);
  const between = make("path", { fill: "var(--accent)", "fill-opacity": 0.16 }, element);
  const floor = make("path", { stroke: "var(--line)" }, element);
  const changes = pool(element, "path", { stroke: "var(--soft)", "stroke-dasharray": "3 3" });
  const labels = pool(element, "text", { "font-size": 13, fill: "var(--soft)" });
  const lines = ["var(--ink)", "var(--accent)"].map((stroke) => make("path", { fill: "none", stroke, "stroke-width": 2, "stroke-linejoin": "round" }, element));
  const legend = pool(element, "text", { "font-size": 13, "font-weight": 600 });

  /** @param {Point[]} points @param {(Best | undefined)[]} best */
  function draw(points, best) {
    last = [points, best];
    element.toggleAttribute("hidden", best.length < 2);
    if (best.length < 2) return;
    const width = view.fit(() => high), losses = [best, points].map((each) => Array.from(each, (point) => point?.loss ?? NaN));
    const most = Math.max(1e-9, ...losses.flat().filter(Number.isFinite));
    const x = (/** @type {number} */ at) => left + (at / (best.length - 1)) * (width - left - right);
    const y = (/** @type {number} */ loss) => high - bottom - (loss / most) * (high - top - bottom);
    const way = (/** @type {number[]} */ values) => values.map((loss, at) => (Number.isFinite(loss) ? `${at && Number.isFinite(values[at - 1]) ? "L" : "M"}${x(at).toFixed(1)} ${y(loss).toFixed(1)}` : "")).join("");
    lines.forEach((line, i) => put(line, { d: way(losses[i]) || "M0 0" }));
    const both = points.map((_, at) => at).filter((at) => Number.isFinite(losses[0][at]));
    put(between, { d: both.length < 2 ? "M0 0" : `M${both.map((at) => `${x(at).toFixed(1)} ${y(losses[1][at]).toFixed(1)}`).join("L")}L${both.reverse().map((at) => `${x(at).toFixed(1)} ${y(losses[0][at]).toFixed(1)}`).join("L")}Z` });
    const borders = best.flatMap((point, at) => (at && point && best[at - 1] && point.phase !== best[at - 1]?.phase ? [at - 0.5] : []));
    put(floor, { d: `M${left} ${high - bottom}H${width - right}` });
    changes(borders.length).forEach((line, i) => put(line, { d: `M${x(borders[i]).toFixed(1)} ${top}V${high - bottom}` }));
    const texts = [
      { text: brief(most, 2), x: left - 6, y: top + 9, "text-anchor": "end" },
      { text: "loss", x: left - 6, y: (top + high - bottom) / 2 + 4, "text-anchor": "end" },
      { text: "0", x: left - 6, y: high - bottom + 4, "text-anchor": "end" },
      { text: "along the path", x: left, y: high - 5, "text-anchor": "start" },
    ];
    labels(texts.length).forEach((label, i) => {
      const { text, ...at } = texts[i];
      put(label, at);
      write(label, text);
    });
    const keys = [{ text: "best", fill: "var(--ink)", x: width - right - 76 }, { text: "followed", fill: "var(--accent)", x: width - right }];
    legend(2).forEach((label, i) => {
      const { text, ...at } = keys[i];
      put(label, { ...at, y: high - 5, "text-anchor": "end" });
      write(label, text);
    });
    const end = points[best.length - 1], other = best[best.length - 1];
    view.say(() => `Loss along a path of ${best.length} cells. ${end && other ? `At its end the best has ${brief(other.loss)}, the followed solution ${brief(end.loss)}.` : ""}`);
  }
  return { element, draw };
}
