// Many seeds: models that differ only by their initial weights train side by side, and are sorted by the minimum that
// each ends in.

import { basins } from "./basins.js";
import { importanceColor, rgbOf, SETS, weightColor } from "./colors.js";
import { brief, selection, slider, steady } from "./controls.js";
import { h } from "./dom.js";
import { hasExact } from "./exact.js";
import { gram, nameOf, polytopes } from "./measures.js";
import { numbersOf, pythonOfSeeds } from "./python.js";
import { begun, isExact, nextEvent, prepared, worldOfState } from "./simulation.js";
import { MOST_STEPS, SPEEDS } from "./state.js";
import { write } from "./svg.js";

/** @import { App } from "./app.js" */
/** @import { Model } from "./exact.js" */
/** @import { Run } from "./engine.js" */
/** @import { State } from "./state.js" */
/** @import { Solution } from "./tasks.js" */
/** Models that are alike, and how they are told apart: `over` is how far their loss lies above the least.
 * @typedef {{name: string, loss: number, over: number, color: string, tiles: Tile[]}} Alike */
/** A picture of a model.
 * @typedef {{seed: number, element: HTMLButtonElement, context: CanvasRenderingContext2D, loss: HTMLElement,
 *   name: HTMLElement, called: string}} Tile */

const MEMBERS = [12, 16, 20, 24, 30, 40, 50, 60, 80, 100];
const OTHER = "#999999";
/** So many groups are listed, with a color each; the others together. */
const LISTED = 6;

/** What of a state says which runs these are. @param {State} state */
function familyOf(state) {
  const {
    part, lesson, seed, steps, fork, speed, view, azimuth, elevation, time, diagram, path, start, at, ...rest
  } = state;
  return JSON.stringify(rest);
}

/** @param {App} app */
export function seedsPart(app) {
  /** @type {Run[]} */
  let runs = [];
  /** @type {(Solution | undefined)[]} the minimum next to each, once it is known */
  let minima = [];
  /** @type {Tile[]} */
  let tiles = [];
  /** @type {number[]} the losses at the last of the steps at which it is looked whether training has slowed down */
  let before = [];
  let asked = "", shown = false, playing = false, busy = false, finishing = false, sorted = false, framed = false,
    dirty = true;
  // pace: ms that a step of a Worker's share takes
  let turn = 0, target = 0, pace = 1, told = 0, named = 0, fresh = 0, automatic = true;

  const play = h("button", { class: "main", onclick: () => setPlaying(!playing) }, "Play");
  const again = h("button", { onclick: () => restart() }, "Restart");
  const finish = h("button", { onclick: () => {
    app.set({ finish: runs[0].step, steps: runs[0].step });
    wake();
  } }, "Finish");
  const stepNumber = h("b", {}, "0");
  const speed = selection("Steps a frame", SPEEDS.map(String),
    (index) => app.set({ speed: SPEEDS[index] }, { quiet: true }));
  speed.element.classList.add("speed");
  const members = slider("Models", MEMBERS, (count) => app.set({ members: count, steps: 0 }));
  const world = h("p", { class: "world" });
  const grid = h("div", { class: "grid", role: "group", "aria-label": "The models" });
  const verdict = h("p", { class: "said" }), list = h("ol", { class: "minima" }), head = h("h3", {});
  const note = h("p", { class: "readout" }),
    elsewhere = h("button", { onclick: () => app.set({ part: "play" }) }, "Change world and model");
  const element = h("div", { class: "seeds" },
    h("section", { "aria-label": "Models" },
      h("h2", { class: "unseen" }, "Many seeds"),
      h("p", { class: "intro" },
        "The same model many times, each from other initial weights. Training takes them to different minima: which ",
        "of them are the best, and how many find it?"),
      h("div", { class: "transport" },
        play, again, finish, speed.element, h("span", { class: "step" }, "step ", stepNumber)),
      verdict, grid),
    h("section", { class: "readings", "aria-label": "Their minima" },
      h("div", { class: "reading" }, head, list, note),
      h("div", { class: "group" }, members.element, world, elsewhere)));

  /** @param {boolean} now */
  function setPlaying(now) {
    if (now && sorted) {
      app.set({ finish: -1 }, { quiet: true });
      show(false);
    }
    playing = now;
    write(play, now ? "Pause" : "Play");
    if (!now) target = runs[0]?.step ?? 0;
    wake();
  }

  function restart() {
    begin();
    app.set({ steps: 0, changes: [], fork: -1, finish: -1 });
    setPlaying(true);
  }

  /** The models before their first step. */
  function begin() {
    const { state } = app;
    turn++;
    busy = finishing = sorted = false;
    automatic = true;
    app.crew.drop("seeds");
    asked = familyOf(state);
    runs = Array.from({ length: state.members }, (_, seed) => begun({ ...state, seed }, null)[0]);
    minima = [];
    before = [];
    target = state.finish < 0 ? state.steps : state.finish;
    pace = 1;
    tiles = runs.map((_, seed) => tiles[seed] ?? tileOf(seed));
    for (const tile of tiles) tile.called = "";
    fresh = 0;
    grid.replaceChildren(...tiles.map((tile) => tile.element));
    grid.classList.toggle("many", runs.length > 40);
    grid.classList.toggle("matrices", state.hidden > 2);
    paintTiles();
  }

  /** @param {number} seed @returns {Tile} */
  function tileOf(seed) {
    const canvas = h("canvas", {}), loss = h("b", { class: "num" }), name = h("span", {});
    const button = h("button", { class: "tile", onclick: () => open(seed) }, canvas, loss, " ", name,
      h("small", { class: "unseen" }, `, seed ${seed}: open it in the playground`));
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    return { seed, element: button, context, loss, name, called: "" };
  }

  /** @param {number} seed */
  function open(seed) {
    const changes = app.state.changes.filter((change) => change.run === 0);
    const { step } = runs[seed];
    app.set({ part: "play", seed, steps: step, finish: sorted ? step : -1, start: "seed", changes, fork: -1 });
  }

  function wake() {
    dirty = true;
    nextFrame();
  }

  function nextFrame() {
    if (framed || !shown) return;
    framed = true;
    requestAnimationFrame(frame);
  }

  /** @param {number} now */
  function frame(now) {
    framed = false;
    if (!shown) return;
    const behind = target > runs[0].step;
    if (!busy && !finishing && !sorted && !playing && app.state.finish === runs[0].step) toMinima();
    if (!busy && !finishing && (playing || behind)) work();
    if (dirty) draw(now);
    if (playing || busy || behind) nextFrame();
  }

  /** As many steps as a frame has time for, shared among the Workers. */
  function work() {
    const { state } = app, { step } = runs[0], mine = turn, alone = { ...state, fork: -1 };
    if (state.changes.length) runs = runs.map((run) => prepared([run], alone, null)[0]);
    const most = playing ? Math.min(state.speed, 10 / pace) : Math.min(target - step, 40 / pace);
    const mark = markAfter(step), stop = Math.min(nextEvent(alone, step), mark, MOST_STEPS);
    const steps = Math.min(Math.max(1, Math.floor(most)), stop - step);
    if (steps < 1) return setPlaying(false);
    busy = true;
    const each = Math.ceil(runs.length / app.crew.size);
    const shares = Array.from({ length: Math.ceil(runs.length / each) }, (_, i) =>
      runs.slice(i * each, (i + 1) * each));
    Promise.all(shares.map(
      (share) => app.crew.ask("advance", { runs: share.map(light), steps }, "seeds"),
    )).then((done) => {
      if (mine !== turn) return;
      busy = false;
      pace += 0.2 * (Math.max(...done.map(({ took }) => took)) / steps - pace);
      runs = done.flatMap((share) => share.runs);
      fresh = 0;
      if (playing) {
        target = runs[0].step;
        app.set({ steps: target }, { quiet: true });
      }
      if (!runs.every((run) => run.model.W.every(Number.isFinite))) {
        setPlaying(false);
        app.notice(`Training has diverged by step ${runs[0].step}; choose a lower learning rate, and restart.`);
      } else if (runs[0].step === mark && slowed() && automatic && target === mark && isExact(state)) {
        setPlaying(false);
        app.set({ finish: mark, steps: mark });
      }
      wake();
    }, (error) => failed(error, mine));
  }

  /** @param {Error} error @param {number} mine */
  function failed(error, mine) {
    if (mine !== turn) return;
    busy = finishing = false;
    setPlaying(false);
    app.announce(error.message);
  }

  /** Whether losses hardly change any more: by less than 0.2% since the last time. */
  function slowed() {
    const last = before;
    before = runs.map(lastLoss);
    return last.length > 0 && before.every((now, at) => Math.abs(now / last[at] - 1) < 0.002);
  }

  /** Take each model to the minimum next to it. */
  function toMinima() {
    const mine = turn, models = runs.map((run) => run.model), law = runs[0].world;
    const size = Math.max(1, Math.floor(models.length / (6 * app.crew.size)));
    setPlaying(false);
    finishing = true;
    automatic = false;
    minima = [];
    const work = Array.from({ length: Math.ceil(models.length / size) }, (_, i) => {
      const first = i * size, some = models.slice(first, first + size);
      return app.crew.ask("finish", { models: some, world: law }, "seeds").then((found) => {
        if (mine !== turn) return;
        found.forEach((each, at) =>
          (minima[first + at] = { ...each, loss: each.loss < 1e-12 ? 0 : each.loss, seed: first + at }));
        wake();
      });
    });
    Promise.all(work).then(() => {
      if (mine !== turn) return;
      finishing = false;
      show(true);
      app.announce(verdict.textContent ?? "");
    }, (error) => failed(error, mine));
  }

  /** Show the minima, sorted, or the models in training. @param {boolean} ends */
  function show(ends) {
    sorted = ends;
    if (!ends) minima = [];
    for (const tile of tiles) tile.called = "";
    fresh = 0;
    paintTiles();
    tell();
    const order = ends ? alike().flatMap((group) => group.tiles) : tiles;
    rearranged(order.map((tile) => tile.element));
  }

  /** Put the tiles in an order, in motion. @param {HTMLElement[]} order */
  function rearranged(order) {
    const before = order.map((each) => each.getBoundingClientRect());
    const focused = document.activeElement;
    grid.replaceChildren(...order);
    if (focused instanceof HTMLElement && grid.contains(focused)) focused.focus({ preventScroll: true });
    if (app.calm) return;
    order.forEach((each, at) => {
      const after = each.getBoundingClientRect(), { left, top } = before[at];
      if (left === after.left && top === after.top) return;
      const from = { transform: `translate(${left - after.left}px, ${top - after.top}px)` };
      each.animate([from, { transform: "none" }], { duration: 600, easing: "ease-in-out" });
    });
  }

  const modelOfTile = (/** @type {number} */ seed) => minima[seed]?.model ?? runs[seed].model;
  const lossOfTile = (/** @type {number} */ seed) => minima[seed]?.loss ?? lastLoss(runs[seed]);

  /**
   * The models in groups, the best first: by their minima, or while they train by what they are called.
   * @returns {Alike[]}
   */
  function alike() {
    /** @type {Map<number | string, Tile[]>} */
    const groups = new Map();
    const found = sorted ? basins(/** @type {Solution[]} */ (minima), runs[0].world) : null;
    for (const tile of tiles) {
      const key = found ? found.label[tile.seed] : tile.called || "…";
      groups.set(key, [...(groups.get(key) ?? []), tile]);
    }
    const listed = [...groups].map(([key, tiles]) => {
      const loss = tiles.reduce((sum, { seed }) => sum + lossOfTile(seed), 0) / tiles.length;
      return { tiles, loss: key === -1 ? Infinity : loss, name: key === -1 ? "not converged" : tiles[0].called };
    }).sort((a, b) => a.loss - b.loss);
    const [{ loss: least }] = listed;
    return listed.map((group, rank) =>
      ({ ...group, over: group.loss / least - 1, color: rank < LISTED ? SETS[rank] : OTHER }));
  }

  /** @param {number} now */
  function draw(now) {
    dirty = false;
    paintTiles();
    write(stepNumber, runs[0].step.toLocaleString("en"));
    nameSome();
    if (!(playing || busy || finishing) && fresh < tiles.length) wake();
    if (now - told > 250 || !(playing || busy || finishing)) {
      told = now;
      tell();
    }
  }

  function paintTiles() {
    const largest = runs[0].world.importance.reduce((a, b) => Math.max(a, b), 1e-12);
    const colors = Array.from(runs[0].world.importance, (importance) => importanceColor(importance / largest));
    for (const { seed, context } of tiles) paintModel(context, modelOfTile(seed), colors);
  }

  /** Say what some of the models are, for a few milliseconds: of large ones not all can be named in a frame. */
  function nameSome() {
    const end = performance.now() + 3;
    for (let count = 0; count < tiles.length && (count === 0 || performance.now() < end); count++) {
      const tile = tiles[named++ % tiles.length];
      fresh++;
      tile.called = nameOf(polytopes(modelOfTile(tile.seed)));
    }
  }

  /** Words and numbers. */
  function tell() {
    const { state } = app, exact = hasExact(runs[0].world, runs[0].model);
    if (sorted) for (const tile of tiles) tile.called = nameOf(polytopes(modelOfTile(tile.seed)));
    const groups = alike(), colors = new Map(groups.flatMap(({ tiles, color }) => tiles.map((tile) => [tile, color])));
    for (const tile of tiles) {
      const loss = lossOfTile(tile.seed);
      write(tile.loss, Number.isFinite(loss) ? loss.toPrecision(sorted ? 5 : 3) : "–");
      write(tile.name, tile.called);
      tile.element.style.setProperty("--mine", sorted ? colors.get(tile) ?? OTHER : "var(--line)");
    }
    const most = Math.max(...groups.map((group) => group.tiles.length)), rest = groups.slice(LISTED);
    const row = (/** @type {Alike} */ group) => {
      const bar = h("i", {}), least = group.over < 1e-9;
      bar.style.setProperty("--share", String(group.tiles.length / most));
      bar.style.setProperty("--mine", sorted ? group.color : "var(--soft)");
      const above = !Number.isFinite(group.loss + group.over) ? ""
        : least ? steady(group.loss, sorted ? 5 : 3) : `+${brief(100 * group.over, 2)}%`;
      const [over, count] = [h("span", { class: "num" }, above), h("b", { class: "num" }, group.tiles.length)];
      const light = { onpointerenter: () => spotlight(group), onpointerleave: () => spotlight(null) };
      return h("li", light, h("span", {}, group.name || "…"), over, bar, count);
    };
    list.replaceChildren(...groups.slice(0, LISTED).map(row));
    const more = rest.reduce((sum, group) => sum + group.tiles.length, 0);
    const alikes = sorted && new Set(groups.map((group) => group.name)).size < groups.length;
    write(note, (rest.length ? `${rest.length} more, with ${more} model${more === 1 ? "" : "s"}. ` : "")
      + (alikes ? "Minima of one name differ in which feature has which place." : ""));
    write(head, sorted ? "Minima by their loss" : "What they are now");
    write(verdict, sorted ? verdictOf(groups)
      : finishing ? `${minima.filter(Boolean).length} of ${runs.length} at their minimum`
      : exact ? "When training has slowed down, or with Finish, each goes to the exact minimum next to it, and they "
        + "are sorted."
      : "There is no closed form for such a model, so they can only be compared by name and by their loss on samples.");
    finish.disabled = !exact || finishing || sorted;
    play.disabled = finishing;
    members.set(state.members);
    speed.set(SPEEDS.findIndex((each) => each >= state.speed));
    write(world, worldInWords(state));
  }

  /** @param {Alike[]} groups */
  function verdictOf(groups) {
    const found = basins(/** @type {Solution[]} */ (minima), runs[0].world), count = runs.length;
    if (!(found.converged > 0)) return "None of the searches for a minimum has converged.";
    const second = groups.find((group) => group.over > 1e-5 && group.loss < Infinity), first = groups[0].name;
    const other = second?.name === first ? `another ${first}` : withArticle(second?.name ?? "");
    const next = second ? `the next, ${other}, lies ${brief(100 * found.gap, 2)}% above` : "no other minimum was seen";
    const left = Math.round((1 - found.converged) * count);
    return `${Math.round(found.reached * count)} of ${count} reach the best, `
      + `${steady(found.best, 5)} (${withArticle(first)}); `
      + `${next}; a better one is missed only if a start finds it with chance < ${found.missed.toPrecision(2)}.`
      + (left ? ` ${left} did not converge.` : "");
  }

  /** @param {Alike | null} group */
  function spotlight(group) {
    for (const tile of tiles) tile.element.classList.toggle("dim", group !== null && !group.tiles.includes(tile));
  }

  return {
    element,
    show() {
      shown = true;
      this.update(app.state);
    },
    hide() {
      setPlaying(false);
      shown = busy = finishing = false;
      turn++;
      app.crew.drop("seeds");
    },
    /** @param {State} state */
    update(state) {
      if (familyOf(state) !== asked || (!playing && state.steps < (runs[0]?.step ?? 0))) begin();
      target = Math.max(target, state.steps);
      wake();
    },
    setPlaying,
    /** @returns {import("./share.js").Shared} */
    shared: () => ({
      pictures: {},
      numbers: () => ({
        models: runs.map(({ model, world, step, seed }, i) => ({
          seed, step, ...numbersOf(model, world),
          minimum: minima[i] && { ...numbersOf(minima[i].model, world), loss: minima[i].loss },
        })),
      }),
      python: () => (isExact(app.state) ? pythonOfSeeds(app.state, runs[0].world) : ""),
    }),
  };
}

/** A run without its history, which a Worker does not need. @param {Run} run @returns {Run} */
function light(run) {
  return { ...run, history: { step: [], loss: [] }, since: { sum: 0, count: 0 } };
}

/** The next step at which it is looked whether training has slowed down: each a quarter later. @param {number} step */
function markAfter(step) {
  let mark = 100;
  while (mark <= step) mark = Math.ceil(1.25 * mark);
  return mark;
}

/** @param {Run} run */
function lastLoss(run) {
  return run.history.loss.at(-1) ?? NaN;
}

/** @param {string} name */
function withArticle(name) {
  return /^(\d|nothing|unnamed)/.test(name) ? name : `${/^[aeiou]/.test(name) ? "an" : "a"} ${name}`;
}

/** @param {State} state */
function worldInWords(state) {
  const { features, hidden, decay, extra, kind, size, layer, rate } = state, [density] = worldOfState(state).density;
  const many = (/** @type {number} */ count, /** @type {string} */ noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const last = extra === 1 ? "" : `, of the last × ${brief(extra, 3)}`;
  return [
    `${many(features, "feature")} in ${many(hidden, "dimension")}`, `density ${brief(density)}`,
    (decay === 1 ? "equal importance" : `importance ${decay}ⁱ`) + last,
    kind !== "independent" && `${kind} in sets of ${size}`,
    `${state.output === "relu" ? "ReLU" : "linear"} output`, layer === "relu" && "ReLU layer",
    `${state.optimizer === "adam" ? "Adam" : "SGD"} at ${rate} on ${isExact(state) ? "the exact loss" : "samples"}`,
  ].filter(Boolean).join(", ");
}

/**
 * A small picture of a model: where its features point or, in more than 2 dimensions, `W^T W`.
 * @param {CanvasRenderingContext2D} context @param {Model} model @param {string[]} colors
 */
function paintModel(context, model, colors) {
  const { canvas } = context, { n, m, W } = model;
  const side = m > 2 ? n : Math.round(112 * Math.min(devicePixelRatio || 1, 2));
  const high = m === 1 ? Math.round(0.4 * side) : side; // a line needs less
  if (canvas.width !== side || canvas.height !== high) [canvas.width, canvas.height] = [side, high];
  if (m > 2) {
    const pixels = context.createImageData(n, n);
    gram(model).forEach((product, at) => pixels.data.set([...rgbOf(weightColor(product)), 255], 4 * at));
    return context.putImageData(pixels, 0, 0);
  }
  const middle = side / 2, center = high / 2, unit = side / 2.9, dot = side / 30;
  context.clearRect(0, 0, side, high);
  context.lineWidth = 1;
  context.strokeStyle = "rgba(128, 128, 128, .35)";
  context.beginPath();
  if (m === 2) context.arc(middle, center, unit, 0, 7);
  else for (const x of [middle - unit, middle + unit]) {
    context.moveTo(x, center - 3 * dot);
    context.lineTo(x, center + 3 * dot);
  }
  context.stroke();
  context.lineWidth = side / 44;
  for (let i = n - 1; i >= 0; i--) {
    const x = middle + unit * W[i], y = center - unit * (m === 2 ? W[n + i] : 0);
    context.strokeStyle = context.fillStyle = colors[i];
    context.beginPath();
    context.moveTo(middle, center);
    context.lineTo(x, y);
    context.stroke();
    context.beginPath();
    context.arc(x, y, dot, 0, 7);
    context.fill();
  }
}
