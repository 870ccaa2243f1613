// The phase map: what the best model does with one feature, over its importance and the density; and how a solution
// that is followed across a border stays what it was.

import { phaseColor, rgbOf } from "./colors.js";
import { brief, choice, steady } from "./controls.js";
import {
  cellOf, cellPlace, DIAGRAMS, followed, lattice, nearestCell, phaseOf, SIDE, wayBetween,
} from "./diagram.js";
import { h } from "./dom.js";
import { norms, superposition } from "./measures.js";
import { pythonOfCell } from "./python.js";
import { keyView, mapView, pathView } from "./phasemap.js";
import { write } from "./svg.js";
import { phaseWorld } from "./tasks.js";
import { phaseBoundary, phaseLosses, PHASES } from "./theory.js";
import { directionsView } from "./views.js";

/** @import { App } from "./app.js" */
/** @import { Model } from "./exact.js" */
/** @import { Point } from "./phasemap.js" */
/** @import { State } from "./state.js" */
/** @typedef {State["diagram"]} Name */
/** The best of a cell. @typedef {Point & {reached: number, seed: number}} Best */
/**
 * What is known of a diagram: the best of all starts, and of a few until those are done.
 * @typedef {{best: (Best | undefined)[], rough: (Best | undefined)[], done: number, seconds: number}} Known
 */

/** So many cells keep a Worker busy for 20 to 50 ms. @type {Record<Name, number>} */
const CHUNK = { "2-in-1": 16, "3-in-2": 2 };
/** Starts in a cell of the first, coarse picture. */
const FEW = 3;
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
  let name = app.state.diagram, shown = false, turn = 0, flying = 0, framed = false, dirty = true, since = 0,
    saying = 0;
  /** @type {Set<number>} cells that Workers are busy with; negative, less 1, for the coarse picture */
  let asked = new Set();
  const asking = (/** @type {number} */ cell, /** @type {number} */ starts) => (starts === FEW ? -1 - cell : cell);
  /** @type {number | null} the cell under the mouse */
  let pointed = null;
  /** @type {number[]} */
  let path = [];

  const intro = h("p", { class: "intro" },
    "One feature, the extra one, matters more or less than the others. Each cell is a world of its own, and its ",
    "color is what the best model does there with the extra feature. Point at a cell to see its model; drag to follow ",
    "a model from world to world.");
  const sizes = { "2-in-1": "2 in 1 dimension", "3-in-2": "3 in 2 dimensions" };
  const diagrams = choice("Features", sizes, (diagram) => app.set({ diagram, path: [] }), true);
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
  const table = h("table", {},
    h("thead", {}, h("tr", {}, h("td", {}), ...heads)), h("tbody", {}, ...rows.map((row) => row.element)));
  const chart = pathView();
  const train = h("button", { class: "main", onclick: () => trainHere() }, "Train this cell in the playground");
  const across = h("button", { onclick: () => goAcross() }, "Follow it across the border");
  const forget = h("button", { class: "bare", onclick: () => app.set({ path: path.slice(-1) }) }, "Clear the path");
  const element = h("div", { class: "phases" },
    h("section", { class: "map", "aria-label": "Phase map" },
      h("h2", { class: "unseen" }, "Phase map"), intro,
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
  /**
   * Follow the solution of this column from above the border of theory, where it is too dense to share, to far below.
   */
  function goAcross() {
    const column = open() % SIDE, { importance } = cellOf(column);
    const border = Math.round(cellPlace({ density: phaseBoundary(DIAGRAMS[name].n, importance), importance }).row);
    const first = Math.min(border + 6, SIDE - 1) * SIDE + column;
    const way = [first, ...wayBetween(first, (border - 12) * SIDE + column)];
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
      part: "play", features: n, hidden: m, decay: 1,
      density: Number(density.toPrecision(6)), extra: Number(importance.toPrecision(6)),
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
    if (coarse.length && !best.some(Boolean)) {
      return { cells: coarse.slice(0, Math.ceil((CHUNK[name] * members) / FEW / 2)), starts: FEW };
    }
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
    const { best } = all[name], end = performance.now() + 8;
    const kept = trail.path.findIndex((cell, at) => cell !== path[at]);
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
    map.draw({ diagram: name, cell, path, label: `Phase map. ${inWords(cell)}` });
    const best = known.best[cell] ?? known.rough[cell], here = pointed === null ? trail.points.at(-1) : undefined;
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
    const at = cellOf(cell), names = PHASES[n];
    const losses = phaseLosses(n, at.density, at.importance), least = Math.min(...losses);
    const { members } = DIAGRAMS[name], whole = best && best === all[name].best[cell];
    write(place, `Density ${brief(at.density, 2)}, extra feature ${brief(at.importance, 2)} × as important`);
    write(rows[2].head, `length of the extra feature, ${n - 1}`);
    write(heads[0], `best of ${whole ? members : FEW} starts`);
    heads[1].hidden = pictures[1].hidden = !here;
    for (const [i, point] of [best, here].entries()) {
      if (point) views[i].draw({ model: point.model, world: phaseWorld(at, n) });
      const over = here && best && i === 1 ? here.loss / best.loss - 1 : 0;
      const texts = point
        ? [
          steady(point.loss) + (over > 1e-4 ? ` (+${percent(over)})` : ""), names[point.phase],
          point.norm.toFixed(2), point.shared.toFixed(2),
          i === 0 && best ? `${Math.round(100 * best.reached)}% of starts` : "–",
        ]
        : ["…", "…", "…", "…", "…"];
      rows.forEach((row, k) => {
        row.cells[i].hidden = i === 1 && !here;
        write(row.cells[i], texts[k]);
      });
    }
    const over = best ? least / best.loss - 1 : 0;
    const more = over > 5e-5 ? `, ${percent(over)} more than the best model` : "";
    const fixed = names[losses.indexOf(least)];
    write(prototype,
      `The best of the paper's fixed solutions here, “${fixed}”, has a loss of ${steady(least)}${more}.`);
    forget.hidden = path.length < 2;
    write(said, here && best ? fateOf(here, best, names) : path.length > 1 ? ""
      : "Drag across a border on the map, or hold Shift and use the arrow keys: the model of the first cell goes "
        + "along, always in the minimum next to it.");
  }

  /** What became of the followed solution. @param {Point} here @param {Best} best @param {string[]} names */
  function fateOf(here, best, names) {
    const costs = trail.points.map((point, i) => point.loss / (all[name].best[trail.path[i]]?.loss ?? NaN) - 1);
    const cost = here.loss / best.loss - 1, most = Math.max(0, ...costs.filter(Number.isFinite));
    const why = "in its minimum, beyond the border at which another becomes better";
    const what = here.phase === best.phase ? "" : `, with “${names[here.phase]}”`;
    if (cost > 1e-4)
      return `Followed from the first cell, the model is ${percent(cost)} worse than the best${what}: it stays ${why}.`;
    const way = most > 1e-3 ? ` On the way it was up to ${percent(most)} worse: it stayed ${why}.` : "";
    return `Followed from the first cell, the model is as good as the best here.${way}`;
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
    /** @returns {import("./share.js").Shared} */
    shared() {
      const { n, m, members } = DIAGRAMS[name];
      const cells = all[name].best.flatMap((best, cell) => (best ? [{
        ...cellOf(cell), loss: best.loss, W: Array.from(best.model.W), b: Array.from(best.model.b),
        reached: best.reached,
      }] : []));
      return {
        pictures: { map: map.element, ...(path.length > 1 && { path: chart.element }) },
        numbers: () => ({ features: n, hidden: m, starts: members, cells, path: path.map(cellOf) }),
        python: () => pythonOfCell(phaseWorld(cellOf(open()), n), m, members),
      };
    },
  };
}

/** The best known of the nearest cell. @param {Known} known @param {number} cell */
function nearBest({ best, rough }, cell) {
  const near = nearestCell(cell, (at) => Boolean(best[at] ?? rough[at]));
  return near < 0 ? undefined : best[near] ?? rough[near];
}

/** @param {number} share */
function percent(share) {
  return `${brief(100 * share, 2)}%`;
}
