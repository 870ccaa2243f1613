// The runs that a state describes. What a run's settings are follows from the state and the step alone, so a link
// replays exactly what was seen, changes and fork included.

import { hasExact } from "./exact.js";
import { initial, newRun } from "./engine.js";
import { setsOf, worldOf } from "./worlds.js";

/** @import { Model } from "./exact.js" */
/** @import { Run, Training } from "./engine.js" */
/** @import { Change, State } from "./state.js" */
/** @import { World } from "./worlds.js" */

/**
 * A model of one's own to start from, and the world that it was trained in.
 * @typedef {{model: Model, world: World}} Start
 */
/** The settings that can change while a run goes on. @typedef {Pick<State, "density" | "decay" | "rate">} Changing */

/** @param {State} state @param {number} run @param {number} step @returns {Changing} */
export function settingsAt(state, run, step) {
  /** @type {Changing} */
  const settings = { density: state.density, decay: state.decay, rate: state.rate };
  for (const change of state.changes) {
    const before = run === change.run || (change.run === 0 && change.step <= state.fork); // of what was copied
    if (before && change.step <= step) settings[change.name] = change.value;
  }
  return settings;
}

/** @param {State} state @param {Pick<Changing, "density" | "decay">} [settings] @returns {World} */
export function worldOfState(state, { density, decay } = state) {
  const { features, values, kind, size, extra } = state;
  const importance = Array.from({ length: features }, (_, i) => decay ** i * (i === features - 1 ? extra : 1));
  return worldOf({
    density, importance, values, kind, sizes: kind === "independent" ? undefined : setsOf(features, size),
  }, features);
}

/** @param {State} state @param {number} rate @returns {Training} */
function trainingOf({ optimizer, loss, batch }, rate) {
  return { optimizer, rate, exact: loss === "exact", batch };
}

/** The model that training starts from. @param {State} state @returns {Model} */
export function modelAtStart({ features, hidden, seed, output, layer }) {
  return initial(features, hidden, seed, { output, layer });
}

/** Whether the state's loss is exact, as asked or because there is no other way. @param {State} state */
export function isExact(state) {
  return state.loss === "exact" && hasExact(worldOfState(state), state);
}

/**
 * The world of a run at a step. One's own has any densities and importances, until these are changed.
 * @param {State} state @param {number} run @param {number} step @param {Start | null} start
 */
function worldAt(state, run, step, start) {
  const world = worldOfState(state, settingsAt(state, run, step));
  if (!start) return world;
  const own = { ...start.world };
  if (state.changes.some((change) => change.name === "density" && change.step <= step)) own.density = world.density;
  if (state.changes.some((change) => change.name === "decay" && change.step <= step)) own.importance = world.importance;
  return own;
}

/** The run of a state before its first step. @param {State} state @param {Start | null} start @returns {Run[]} */
export function begun(state, start) {
  const { rate } = settingsAt(state, 0, 0);
  return [
    newRun(start?.model ?? modelAtStart(state), worldAt(state, 0, 0, start), trainingOf(state, rate), state.seed),
  ];
}

/**
 * The runs with the settings that they have at their step, and the second one from the fork on.
 * @param {Run[]} runs @param {State} state @param {Start | null} start @returns {Run[]}
 */
export function prepared(runs, state, start) {
  const { step } = runs[0];
  if (state.fork >= 0 && step >= state.fork && runs.length === 1) runs = [runs[0], structuredClone(runs[0])];
  return runs.map((run, which) => {
    const { rate } = settingsAt(state, which, step);
    return { ...run, world: worldAt(state, which, step, start), training: trainingOf(state, rate) };
  });
}

/**
 * The first step after this one at which a setting changes, or runs are copied or taken to their minima.
 * @param {State} state @param {number} step
 */
export function nextEvent(state, step) {
  return Math.min(Infinity, ...state.changes.map((change) => change.step).concat(state.fork, state.finish)
    .filter((at) => at > step));
}

/** More changes than this do not fit into a link. */
export const MOST_CHANGES = 200;

/**
 * The changes with one more; one to the same setting at the same step takes the place of the other.
 * @param {Change[]} changes @param {Change} change @returns {Change[]}
 */
export function changed(changes, change) {
  const others = changes.filter(({ run, step, name }) =>
    run !== change.run || step !== change.step || name !== change.name);
  return [...others, change];
}
