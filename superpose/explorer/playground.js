// The playground: one model, or two after a fork, that trains while one watches and changes its world.

import { barsView, gramView } from "./charts.js";
import { brief, choice, selection, slider, steady, wholeNumber } from "./controls.js";
import { curveView } from "./curve.js";
import { h } from "./dom.js";
import { exactLoss, hasExact } from "./exact.js";
import { drops, gram, nameOf, norms, polytopes, principalAxes, project } from "./measures.js";
import { numbersOf, pythonOf } from "./python.js";
import { MOST_CHANGES, begun, changed, isExact, nextEvent, prepared, settingsAt } from "./simulation.js";
import { MOST_STEPS, SPEEDS } from "./state.js";
import { directionsView, graphView, spaceView } from "./views.js";

/** @import { App } from "./app.js" */
/** @import { Model } from "./exact.js" */
/** @import { Run } from "./engine.js" */
/** @import { Polytope } from "./measures.js" */
/** @import { State } from "./state.js" */
/** @import { Level } from "./theory.js" */
/** What is seen of a model, for the readings and for lessons.
 * @typedef {{model: Model, step: number, loss: number, found: Polytope[], name: string, stored: number,
 *   push: number}} Seen */

const SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 40, 50, 60, 80, 100];
const DENSITIES = Array.from({ length: 121 }, (_, i) => Number((10 ** (i / 40 - 3)).toPrecision(2)))
  .filter((p, i, all) => p !== all[i - 1]);
const DECAYS = Array.from({ length: 71 }, (_, i) => Number((0.3 + i / 100).toFixed(2)));
const EXTRAS = Array.from({ length: 41 }, (_, i) => Number((10 ** (i / 20 - 1)).toPrecision(2)));
const RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1];
const TURNING = 150; // milliseconds between updates of words and numbers, which nobody reads faster

const WORDS_MEAN = {
  "dedicated": "A feature with a dimension to itself.",
  "digon": "Two features at the opposite ends of one dimension, an antipodal pair. Triangles, pentagons and the like "
    + "are features at the corners of these shapes.",
  "irregular group": "Features that overlap in no regular way, often because training is not done.",
  "D*": "Hidden dimensions for each feature, m / |W|²: 1 without superposition, 1/2 in antipodal pairs.",
  "worst push": "How far some output moves, before its ReLU, under a change of the input of length 1.",
  "superposition": "The color of the bars: how much of other features arrives along a feature's direction. At 1, as "
    + "much as its own.",
  "dimensionality": "The share of a hidden dimension that a feature has for itself.",
  "storing nothing": "Each output is the mean of its feature, whatever the input.",
  "linear optimum": "The least loss of a network without ReLUs: a dimension each for the features that would cost "
    + "most.",
};

/** What of a state says which run it is. @param {State} state */
function identity(state) {
  const {
    part, lesson, steps, run, speed, view, azimuth, elevation, time, members, diagram, path, at, ...rest
  } = state;
  return JSON.stringify([rest, state.start === "own" ? at : []]);
}

/** @param {App} app */
export function playgroundPart(app) {
  /** @type {Run[]} */
  let runs = begun(app.state, app.start());
  let asked = "", shown = false, playing = false, busy = false, framed = false, dirty = true, generation = 0,
    target = 0;
  // Whether the models are to be taken to their minima, and whether they were, where the state asks for it.
  let ending = false, finished = false;
  let turned = 0, settled = 0, described = "";
  /** @type {{name: "density" | "decay" | "rate", value: number} | null} */
  let pending = null;
  /** @type {{key: string, levels: Level[]}} */
  let theory = { key: "", levels: [] };
  /** @type {Seen | null} */
  let seen = null;
  /** @type {Float64Array | undefined} */
  let axes;

  /** The run whose settings are shown. */
  const chosen = () => Math.min(app.state.run, runs.length - 1);

  // The controls of what a model is start a new run, with the settings that are shown; the others act on the run that
  // goes on.
  const restart = (/** @type {Partial<State>} */ patch) => {
    asked = "";
    const now = settingsAt(app.state, chosen(), Infinity);
    app.set({ ...now, steps: 0, changes: [], fork: -1, finish: -1, start: "seed", ...patch });
  };
  const change = (/** @type {"density" | "decay" | "rate"} */ name, /** @type {number} */ value) => {
    pending = { name, value };
    wake();
  };
  const controls = {
    features: slider("Features", SIZES, (features) => restart({ features })),
    hidden: slider("Hidden dimensions", SIZES.filter((m) => m <= 30), (hidden) => restart({ hidden })),
    density: slider("Density", DENSITIES, (value) => change("density", value)),
    decay: slider("Importance", DECAYS, (value) => change("decay", value), (r) => (r === 1 ? "all equal" : `${r}ⁱ`)),
    extra: slider("of the last feature, times", EXTRAS, (extra) => restart({ extra })),
    values: choice("Values", { uniform: "0 to 1", signed: "−1 to 1", binary: "0 or 1" },
      (values) => restart({ values })),
    kind: choice("Features are active",
      { independent: "independent", correlated: "together", anticorrelated: "in turn" },
      (kind) => restart({ kind })),
    size: wholeNumber("in sets of", 1, 10, (size) => restart({ size })),
    output: choice("Output", { relu: "ReLU", linear: "linear" }, (output) => restart({ output })),
    layer: choice("Hidden layer", { linear: "linear", relu: "ReLU" }, (layer) => restart({ layer })),
    loss: choice("Loss", { exact: "exact", sampled: "on samples" }, (loss) => restart({ loss })),
    batch: slider("Samples a step", [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192], (batch) => restart({ batch })),
    optimizer: choice("Optimizer", { adam: "Adam", sgd: "SGD" }, (optimizer) => restart({ optimizer })),
    rate: slider("Learning rate", RATES, (value) => change("rate", value)),
    seed: wholeNumber("Seed", 0, 999999, (seed) => restart({ seed })),
  };
  const whyNot = h("small", {});
  controls.loss.element.append(whyNot);

  const play = h("button", { id: "play", class: "main", onclick: () => setPlaying(!playing) }, "Play");
  const stepOnce = h("button", { onclick: () => goTo(runs[0].step + 1), title: "One step (key: .)" }, "Step");
  const again = h("button",
    { onclick: () => restart({ start: app.state.start }), title: "From the same weights (key: r)" }, "Restart");
  const newSeed = h("button", {
    onclick: () => restart({ seed: (app.state.seed + 1) % 1000000 }), title: "From other weights (key: n)",
  }, "New seed");
  const speed = selection("Speed", SPEEDS.map((steps) => `${steps} step${steps > 1 ? "s" : ""}/frame`),
    (index) => app.set({ speed: SPEEDS[index] }, { quiet: true }));
  const fork = h("button", { onclick: () => forked() }, "Fork");
  const finish = h("button", {
    onclick: () => {
      setPlaying(false);
      ending = true;
    }, title: "To the exact minimum next to it",
  }, "Finish");
  const which = choice("Settings of", /** @type {Record<"0" | "1", string>} */ ({ 0: "A", 1: "B" }),
    (run) => choose(Number(run)), true);
  const transport = h("div", { class: "transport" }, play, stepOnce, again, newSeed, speed.element);

  const views = [0, 1].map(() => ({
    flat: directionsView(), graph: graphView(),
    space: spaceView({ onTurn: (/** @type {{azimuth: number, elevation: number}} */ turn) => {
      app.set({ azimuth: Math.round(turn.azimuth), elevation: Math.round(turn.elevation) }, { quiet: true });
      wake();
    } }),
  }));
  const captions = [h("figcaption", {}), h("figcaption", {})];
  const figures = views.map((view, i) =>
    h("figure", { class: "picture", onclick: () => runs.length > 1 && choose(i) },
      captions[i], view.flat.element, view.space.element, view.graph.element));
  const viewChoice = choice("Picture", { auto: "directions", axes: "principal axes", graph: "graph" },
    (view) => app.set({ view }), true);
  const curve = curveView({}), matrix = gramView({}), bars = barsView();
  const timeChoice = choice("Steps", { log: "log", linear: "linear" }, (time) => app.set({ time }), true);
  const name = h("p", { class: "name" });
  const facts = {
    step: h("dd", {}, "0"), loss: h("dd", {}), level: h("dd", { class: "wide" }), stored: h("dd", {}),
    share: h("dd", {}), push: h("dd", {}),
  };
  const lossName = h("dt", {}, "loss");

  /** @param {string} title @param {...keyof typeof controls} names */
  const group = (title, ...names) =>
    h("details", { class: "group", open: true },
      h("summary", {}, title), ...names.map((each) => controls[each].element));
  const narrow = matchMedia("(max-width: 720px)"), more = [ // closed where there is little room
    group("Model", "hidden", "output", "layer"), group("Training", "loss", "batch", "optimizer", "rate", "seed"),
  ];
  const makeRoom = () => more.forEach((each) => (each.open = !narrow.matches));
  narrow.addEventListener("change", makeRoom); // a notebook's frame has no width at first
  makeRoom();
  const element = h("div", { class: "bench" },
    h("section", { class: "settings", "aria-label": "Settings" },
      group("World", "density", "features", "decay", "extra", "values", "kind", "size"), ...more),
    h("section", { class: "view", "aria-label": "Model" }, transport, h("div", { class: "pictures" }, ...figures),
      h("div", { class: "toolbar" }, viewChoice.element, fork, which.element, finish)),
    h("section", { class: "curve", "aria-label": "Loss" },
      curve.element, h("div", { class: "toolbar" }, timeChoice.element)),
    h("section", { class: "readings", "aria-label": "What is seen" },
      h("div", {}, name, h("dl", { class: "facts" },
        h("dt", {}, "step"), facts.step, lossName, facts.loss, facts.level,
        h("dt", {}, "features stored"), facts.stored,
        h("dt", { title: "D*: hidden dimensions for each feature, m / |W|²" }, "D*, dimensions for each"), facts.share,
        h("dt", { title: "How far the most sensitive output moves under a change of the input of length 1" },
          "worst push"), facts.push)),
      h("div", { class: "reading" }, h("h3", {}, "Wᵀ W, and biases"), matrix.element),
      h("div", { class: "reading" }, h("h3", {}, "Length and dimensionality"), bars.element),
      h("details", { class: "words" }, h("summary", {}, "What the words mean"), h("dl", {},
        ...Object.entries(WORDS_MEAN).flatMap(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)])))));

  /** @param {boolean} now */
  function setPlaying(now) {
    playing = now;
    play.textContent = now ? "Pause" : "Play";
    if (!now) target = runs[0].step;
    wake();
  }

  /** @param {number} step */
  function goTo(step) {
    playing = false;
    play.textContent = "Play";
    target = step;
    wake();
  }

  /** @param {number} run */
  function choose(run) {
    app.set({ run: run === 1 ? 1 : 0 }, { quiet: true });
    showSettings();
    wake();
  }

  function forked() {
    if (runs.length > 1) {
      runs = [runs[chosen()]]; // the one whose settings are shown goes on as it is
      const kept = app.state.run === 0 ? app.state.changes.filter((each) => each.run === 0)
        : app.state.changes.filter((each) => each.run === 1 || each.step <= app.state.fork)
          .map((each) => ({ ...each, run: 0 }));
      take({ fork: -1, run: 0, changes: kept });
    } else {
      take({ fork: runs[0].step, steps: runs[0].step, run: 1 });
      runs = prepared(runs, app.state, app.start());
    }
    showSettings();
    wake();
  }

  /** Change the state in a way that belongs to the run that goes on. @param {Partial<State>} patch */
  function take(patch) {
    asked = identity({ ...app.state, ...patch });
    app.set(patch);
  }

  /** Let what was asked for while Workers were busy happen at the step that they have reached. */
  function settle(/** @type {number} */ now) {
    if (!pending || (playing && now - settled < TURNING)) return;
    const { name, value } = pending, { step } = runs[0];
    pending = null;
    settled = now;
    if (step === 0 && app.state.fork < 0 && app.state.start === "seed") {
      asked = "";
      return app.set({ [name]: value });
    }
    if (app.state.changes.length >= MOST_CHANGES)
      return app.notice("This run has seen too many changes for a link to hold; restart it to make more.");
    take({ changes: changed(app.state.changes, { run: chosen(), step, name, value }) });
    runs = prepared(runs, app.state, app.start());
    showSettings();
  }

  function wake() {
    dirty = true;
    if (framed || !shown) return;
    framed = true;
    requestAnimationFrame(frame);
  }

  /** @param {number} now */
  function frame(now) {
    framed = false;
    if (!shown) return;
    if (!busy) {
      settle(now);
      if (ending) take({ finish: runs[0].step, steps: runs[0].step });
      ending = false;
      const replaying = !playing && target > runs[0].step;
      if (app.state.finish === runs[0].step && !finished) toMinima();
      else if (playing || replaying) work(replaying);
    }
    if (dirty) draw(now);
    if (playing || busy || target > runs[0].step || now - turned < TURNING) {
      framed = true;
      requestAnimationFrame(frame);
    }
  }

  /** Take each model to the minimum next to it. That is a step of its own: what is changed later comes after it. */
  function toMinima() {
    const mine = generation;
    busy = true;
    runs = prepared(runs, app.state, app.start());
    Promise.all(runs.map(
      ({ model, world }) => app.crew.ask("finish", { models: [model], world }, "play"),
    )).then((found) => {
      if (mine !== generation) return;
      busy = false;
      finished = true;
      const there = runs.map((run, i) => ({
        ...run, model: found[i][0].model, step: run.step + 1,
        first: run.first.map(() => 0), second: run.second.map(() => 0),
        history: { step: [...run.history.step, run.step + 1], loss: [...run.history.loss, found[i][0].loss] },
      }));
      runs = prepared(there, app.state, app.start());
      app.set({ steps: Math.max(runs[0].step, target) }, { quiet: true });
      wake();
    }, (error) => failed(error, mine));
  }

  /** @param {Error} error @param {number} mine */
  function failed(error, mine) {
    if (mine !== generation) return;
    busy = false;
    setPlaying(false);
    app.notice(error.message);
  }

  /** @param {boolean} replaying */
  function work(replaying) {
    const { state } = app, { step } = runs[0], mine = generation;
    runs = prepared(runs, state, app.start());
    const stop = Math.min(nextEvent(state, step), replaying ? target : step + state.speed, MOST_STEPS);
    if (stop <= step) return setPlaying(false);
    busy = true;
    app.crew.ask("advance", { runs, steps: stop - step, seconds: replaying ? 0.03 : 0.012 }, "play").then((done) => {
      if (mine !== generation) return;
      busy = false;
      const several = runs.length;
      runs = prepared(done.runs, app.state, app.start()); // also with what was changed at the last step
      if (runs.length !== several || replaying) showSettings();
      if (!runs.every((run) => run.model.W.every(Number.isFinite))) {
        setPlaying(false);
        app.notice(`Training has diverged by step ${runs[0].step}; choose a lower learning rate, and restart.`);
      }
      app.set({ steps: Math.max(runs[0].step, replaying ? target : 0) }, { quiet: true });
      wake();
    }, (error) => failed(error, mine));
  }

  /** @param {number} now */
  function draw(now) {
    dirty = false;
    const { state } = app, { model, world, history, step } = runs[chosen()];
    const slow = now - turned >= TURNING || !(playing || busy);
    const kind = state.view === "graph" ? "graph" : state.view === "auto" && model.m > 2 ? "space" : "flat";
    if (slow || !seen) {
      turned = now;
      seen = look(runs[chosen()]);
      tell(seen);
    }
    for (const [i, figure] of figures.entries()) {
      const run = runs[i];
      figure.hidden = !run;
      if (!run) continue;
      figure.classList.toggle("chosen", runs.length > 1 && i === chosen());
      captions[i].textContent = runs.length > 1
        ? `${"AB"[i]}: density ${brief(settingsAt(state, i, step).density)}` : "";
      captions[i].hidden = runs.length < 2;
      const view = views[i];
      for (const [which, each] of Object.entries(view)) each.element.toggleAttribute("hidden", which !== kind);
      const found = runs.length > 1 && kind !== "flat" ? polytopes(run.model) : seen.found;
      if (kind === "flat")
        view.flat.draw({ model: flattened(run.model), world: run.world, trail: playing && !app.calm });
      else if (kind === "graph") view.graph.draw({ model: run.model, world: run.world, found });
      else view.space.draw({
        model: run.model, world: run.world, turn: { azimuth: state.azimuth, elevation: state.elevation }, found,
      });
    }
    matrix.draw({ model });
    bars.draw({ model });
    facts.step.textContent = step.toLocaleString("en")
      + (!playing && target > step ? ` of ${target.toLocaleString("en")}` : "");
    if (slow || state.speed > 1) {
      curve.draw({
        curves: runs.map((run, i) =>
          ({ name: runs.length > 1 ? "AB"[i] : "loss", ...run.history, kind: i === 0 ? "main" : "fork" })),
        levels: theory.levels, jumps: drops(history),
        changes: state.changes.map((each) => ({ step: each.step, text: `${each.name} ${brief(each.value)}` })),
        logStep: state.time === "log",
      });
    }
    levelsFor(model, world);
  }

  /** A model of more than two dimensions along its two principal axes. @param {Model} model @returns {Model} */
  function flattened(model) {
    if (model.m <= 2) return model;
    axes = principalAxes(model, axes).axes;
    const at = project(model, axes, 2), W = new Float64Array(2 * model.n);
    for (let i = 0; i < model.n; i++) [W[i], W[model.n + i]] = [at[2 * i], at[2 * i + 1]];
    return { ...model, m: 2, W };
  }

  /** @param {Run} run @returns {Seen} */
  function look(run) {
    const { model, step } = run;
    const found = polytopes(model), length = norms(model), A = gram(model), { n } = model;
    let push = 0;
    for (let i = 0; i < n; i++) push = Math.max(push, Math.hypot(...A.subarray(i * n, (i + 1) * n)));
    return {
      model, step, found, push, name: Number.isFinite(push) ? nameOf(found) : "diverged",
      stored: length.filter((each) => each > 0.5).length, loss: lossNow(run).loss,
    };
  }

  /** @param {Seen} now */
  function tell({ model, loss, found, name: called, stored, push, step }) {
    name.textContent = called;
    facts.loss.textContent = Number.isFinite(loss) ? steady(loss) : "–";
    const level = theory.levels.reduce((/** @type {Level | null} */ best, each) =>
      !best || Math.abs(Math.log(each.loss / loss)) < Math.abs(Math.log(best.loss / loss)) ? each : best, null);
    const over = level && loss / level.loss - 1;
    facts.level.textContent = level && over !== null && Number.isFinite(over) ? `${distance(over)} ${level.name}` : "";
    facts.stored.textContent = `${stored} of ${model.n}`;
    const size = model.W.reduce((sum, w) => sum + w * w, 0);
    facts.share.textContent = size > 1e-9 && size < Infinity ? steady(model.m / size, 3) : "–";
    facts.push.textContent = Number.isFinite(push) ? `${steady(push, 3)} ×` : "–";
    if (called !== described && !playing) app.announce(called);
    described = called;
    app.saw({ model, step, loss, found, name: called, stored, push });
  }

  /** @param {Model} model @param {Run["world"]} world */
  function levelsFor(model, world) {
    const key = JSON.stringify([world, model.m, model.output, model.layer], (_, value) =>
      (ArrayBuffer.isView(value) ? Array.from(/** @type {any} */ (value)) : value));
    if (key === theory.key) return;
    theory = { key, levels: [] };
    app.crew.drop("levels");
    app.crew.ask("levels", {
      world, model: { m: model.m, output: model.output, layer: model.layer },
    }, "levels").then((levels) => {
      if (theory.key !== key) return;
      theory.levels = levels;
      turned = 0;
      wake();
    }, () => {});
  }

  function showSettings() {
    const { state } = app, settings = settingsAt(state, chosen(), Infinity), one = runs.length < 2,
      exactPossible = isExact({ ...state, loss: "exact" });
    const { density, decay, rate } = settings;
    controls.features.set(state.features, one);
    controls.hidden.set(state.hidden, one);
    controls.density.set(density);
    controls.decay.set(decay, state.features > 1);
    controls.extra.set(state.extra, one);
    controls.extra.element.hidden = state.extra === 1;
    controls.values.set(state.values, one);
    controls.kind.set(state.kind, one);
    controls.size.set(state.size, one);
    controls.size.element.hidden = state.kind === "independent";
    controls.output.set(state.output, one);
    controls.layer.set(state.layer, one);
    controls.loss.set(exactPossible ? state.loss : "sampled", exactPossible && one);
    whyNot.textContent = exactPossible ? ""
      : state.layer === "relu" ? "A ReLU in between has no closed form." : "Too many features for the closed form.";
    whyNot.hidden = exactPossible;
    controls.batch.set(state.batch, one);
    controls.batch.element.hidden = isExact(state);
    controls.optimizer.set(state.optimizer, one);
    controls.rate.set(rate);
    controls.seed.set(state.seed, one);
    viewChoice.set(state.view);
    timeChoice.set(state.time);
    speed.set(SPEEDS.findIndex((each) => each >= state.speed));
    which.set(chosen() ? "1" : "0");
    which.element.hidden = one;
    fork.textContent = one ? "Fork" : `Go on with ${"AB"[chosen()]} alone`;
    fork.title = one ? "Two runs from here on, each with its own density, importance and learning rate" : "";
    finish.disabled = !isExact(state) || state.finish >= 0; // a link has one
    newSeed.disabled = !one;
    lossName.textContent = isExact(state) ? "loss" : "loss on the last samples";
    viewChoice.element.hidden = state.hidden < 2;
  }

  return {
    element,
    show() {
      shown = true;
      if (app.state.steps < runs[0].step) asked = "";
      target = Math.max(target, app.state.steps);
      this.update(app.state);
      wake();
    },
    hide() {
      shown = busy = ending = false;
      setPlaying(false);
      generation++; // what Workers are still busy with is not waited for
      app.crew.drop("play");
    },
    /** @param {State} state */
    update(state) {
      if (identity(state) !== asked) {
        asked = identity(state);
        generation++;
        busy = ending = false;
        runs = prepared(begun(state, app.start()), state, app.start());
        target = state.steps;
        finished = false;
        pending = null;
        seen = null;
      }
      showSettings();
      wake();
    },
    /** Begin anew, at what the state says. */
    replay() {
      asked = "";
      setPlaying(false);
    },
    setPlaying,
    goTo,
    /** @returns {import("./share.js").Shared} */
    shared() {
      const which = chosen(), of = runs.length > 1 ? `model ${"AB"[which]}` : "the model";
      const model = /** @type {SVGSVGElement} */ (
        [...figures[which].querySelectorAll("svg")].find((each) => !each.hasAttribute("hidden")));
      return {
        pictures: { model, loss: curve.element, matrix: matrix.element, features: bars.element },
        numbers: () => ({ models: runs.map((run) => ({
          ...numbersOf(run.model, run.world), ...lossNow(run),
          step: run.step, training: run.training, history: run.history,
        })) }),
        python: () => pythonOf(app.state, runs[which], lossNow(runs[which]), of),
      };
    },
    /** @param {KeyboardEvent} event */
    key(event) {
      if (event.key === " ") setPlaying(!playing);
      else if (event.key === ".") goTo(runs[0].step + 1);
      else if (event.key === "r") restart({ start: app.state.start });
      else if (event.key === "n") newSeed.click();
      else return false;
      return true;
    },
  };
}

/** The loss of a run as well as it is known: exactly, or on its latest samples. @param {Run} run */
function lossNow({ model, world, training, history }) {
  const exact = training.exact && hasExact(world, model);
  return { exact, loss: exact ? exactLoss(model, world).loss : history.loss.at(-1) ?? NaN };
}

/** How far above or below a level. @param {number} over a share */
function distance(over) {
  if (Math.abs(over) < 5e-5) return "that of";
  if (over > 10) return `${brief(over + 1, 2)} times`;
  return `${brief(Math.abs(100 * over), 2)}% ${over > 0 ? "above" : "below"}`;
}
