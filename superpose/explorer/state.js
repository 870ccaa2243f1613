// All that the page shows, as one plain object, and as the part of its address after `#`.
//
// A link has the version and what differs from the defaults, so that links stay short and old ones go on working: a
// field may get new values or neighbors, but never another name, default or meaning.

/** @import { Kind, Values } from "./worlds.js" */
/** @import { Optimizer } from "./engine.js" */
/** A setting that was changed at a step of run 0 or, after a fork, of run 1.
 * @typedef {{run: number, step: number, name: "density" | "decay" | "rate", value: number}} Change */
/**
 * @typedef {object} State
 * @property {"lessons" | "play" | "seeds" | "phases" | "own"} part what of the page is open
 * @property {number} lesson
 * @property {number} features
 * @property {number} hidden
 * @property {number} density the chance that each set of features is active
 * @property {number} decay feature i has the importance decay^i
 * @property {number} extra the importance of the last feature is multiplied by this
 * @property {Values} values
 * @property {Kind} kind
 * @property {number} size features in a set
 * @property {"relu" | "linear"} output
 * @property {"linear" | "relu"} layer
 * @property {"exact" | "sampled"} loss
 * @property {number} batch
 * @property {Optimizer} optimizer
 * @property {number} rate
 * @property {number} seed
 * @property {number} steps
 * @property {number} fork the step at which run 1 was copied from run 0; -1 without one
 * @property {number} finish the step at which models were taken to the exact minimum next to them; -1 if not
 * @property {0 | 1} run the run whose settings are shown, after a fork
 * @property {Change[]} changes
 * @property {number} speed steps a frame
 * @property {"auto" | "axes" | "graph"} view
 * @property {number} azimuth of the camera, in degrees
 * @property {number} elevation
 * @property {"log" | "linear"} time the axis of the loss curve
 * @property {number} members how many seeds train side by side
 * @property {"2-in-1" | "3-in-2"} diagram
 * @property {number[]} path cells of the phase map, as row * side + column: the last is open
 * @property {"seed" | "own"} start what training starts from: the weights of a seed, or a model of one's own result
 * @property {string[]} at the point of one's own result that is open, as axis:index
 */

/** @typedef {{usual: any, read: (text: string) => any, wants: string, write?: (value: any) => string}} Field */

/** @param {number} usual @param {number} least @param {number} most @returns {Field} */
const whole = (usual, least, most) => ({
  usual, read: (text) => inside(/^-?\d{1,9}$/.test(text) ? Number(text) : NaN, least, most),
  wants: `a whole number from ${least} to ${most}`,
});
/** @param {number} usual @param {number} least @param {number} most @returns {Field} */
const real = (usual, least, most) => ({
  usual, read: (text) => inside(text.trim() === "" ? NaN : Number(text), least, most),
  wants: `a number from ${least} to ${most}`,
});
/** @param {...string} names the first is the usual one @returns {Field} */
const among = (...names) => ({
  usual: names[0], read: (text) => (names.includes(text) ? text : undefined), wants: `one of ${names.join(", ")}`,
});

/** @param {number} number @param {number} least @param {number} most */
function inside(number, least, most) {
  return number >= least && number <= most ? number : undefined;
}

/** What can change while a run goes on, and its letter in a link: a capital one for run 1. */
const CHANGING = { density: "d", decay: "i", rate: "r" };

/** So far a run goes. */
export const MOST_STEPS = 1000000;
/** What a frame can take in steps. */
export const SPEEDS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** @type {Record<keyof State, Field>} */
export const FIELDS = {
  part: among("lessons", "play", "seeds", "phases", "own"),
  lesson: whole(1, 1, 6),
  features: whole(5, 1, 100),
  hidden: whole(2, 1, 30),
  density: real(0.1, 0.001, 1),
  decay: real(0.9, 0.3, 1),
  extra: real(1, 0.1, 10),
  values: among("uniform", "signed", "binary"),
  kind: among("independent", "correlated", "anticorrelated"),
  size: whole(2, 1, 10),
  output: among("relu", "linear"),
  layer: among("linear", "relu"),
  loss: among("exact", "sampled"),
  batch: whole(1024, 1, 8192),
  optimizer: among("adam", "sgd"),
  rate: real(0.01, 0.0001, 1),
  seed: whole(0, 0, 999999),
  steps: whole(0, 0, MOST_STEPS),
  fork: whole(-1, -1, MOST_STEPS),
  finish: whole(-1, -1, MOST_STEPS),
  run: whole(0, 0, 1),
  changes: {
    usual: [], read: readChanges, wants: "changes such as 500d0.05",
    write: (/** @type {Change[]} */ changes) =>
      changes.map(({ run, step, name, value }) =>
        `${step}${run ? CHANGING[name].toUpperCase() : CHANGING[name]}${value}`).join(),
  },
  speed: whole(4, 1, 1024),
  view: among("auto", "axes", "graph"),
  azimuth: whole(30, -360, 360),
  elevation: whole(20, -90, 90),
  time: among("log", "linear"),
  members: whole(24, 12, 100),
  diagram: among("2-in-1", "3-in-2"),
  path: {
    usual: [], wants: "cells of the map, such as 1275.1276",
    read: (text) => {
      const cells = text.split(".").map(Number);
      return cells.length <= 400 && cells.every((cell) => Number.isInteger(cell) && cell >= 0 && cell < 2500)
        ? cells : undefined;
    },
    write: (/** @type {number[]} */ cells) => cells.join("."),
  },
  start: among("seed", "own"),
  at: {
    usual: [], wants: "a point such as density:3",
    read: (text) => {
      const points = text.split(",").map((point) => point.replace(/%(2C|25)/g, (sign) => (sign === "%2C" ? "," : "%")));
      return points.length <= 20 && points.every((point) => /^.{1,100}:\d{1,7}$/s.test(point)) ? points : undefined;
    },
    write: (/** @type {string[]} */ points) =>
      points.map((point) => point.replace(/[,%]/g, (sign) => (sign === "," ? "%2C" : "%25"))).join(),
  },
};

/** @param {string} text @returns {Change[] | undefined} */
function readChanges(text) {
  const changes = text.split(",").flatMap((change) => {
    const [, step, letter, value] = /^(\d{1,7})([dirDIR])(.+)$/.exec(change) ?? [];
    const name = Object.entries(CHANGING).find((each) => each[1] === letter?.toLowerCase())?.[0];
    const read = name && FIELDS[/** @type {Change["name"]} */ (name)].read(value);
    return read === undefined ? [] : [{
      run: letter === letter.toUpperCase() ? 1 : 0, step: Number(step), name: /** @type {Change["name"]} */ (name),
      value: read,
    }];
  });
  return changes.length <= 200 && changes.length === text.split(",").length ? changes : undefined;
}

/** @returns {State} */
export function usualState() {
  return /** @type {State} */ (Object.fromEntries(
    Object.entries(FIELDS).map(([name, { usual }]) => [name, structuredClone(usual)])));
}

/** What is after `#`: the version, and what differs from the defaults. @param {State} state */
export function linkOf(state) {
  const parts = ["v=1"];
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = state[/** @type {keyof State} */ (name)], write = field.write ?? String;
    if (write(value) !== write(field.usual)) parts.push(
      `${name}=${encodeURIComponent(write(value)).replace(/%(3A|2C)/g, (sign) => (sign === "%3A" ? ":" : ","))}`);
  }
  return parts.join("&");
}

/**
 * The state of a link, and one line for each thing in it that cannot be: what that says is then left as usual.
 * @param {string} link with or without `#` @returns {{state: State, problems: string[]}}
 */
export function stateOf(link) {
  const state = usualState(), problems = [];
  const text = link.replace(/^#/, "");
  if (text.length > 20000)
    return { state, problems: ["This link is too long to be one of ours; here is the beginning instead."] };
  const asked = new URLSearchParams(text);
  const version = asked.get("v");
  if (text && version !== "1") {
    problems.push(Number(version) > 1
      ? "This link was made by a newer version of the page; what this one does not know is left out."
      : "This link is not one of ours, or a part of it is missing; what it does not say is as usual.");
  }
  for (const [name, value] of asked) {
    const field = Object.hasOwn(FIELDS, name) ? FIELDS[/** @type {keyof State} */ (name)] : undefined;
    if (!field) continue; // of a newer version, perhaps
    const read = field.read(value);
    if (read === undefined)
      problems.push(`The link asks for ${name} = ${value.slice(0, 40)}; it must be ${field.wants}.`);
    else Object.assign(state, { [name]: read });
  }
  return { state: possible(state), problems };
}

/** The nearest state whose settings fit together. @param {State} state @returns {State} */
export function possible(state) {
  const hidden = Math.min(state.hidden, state.layer === "linear" ? state.features : 30);
  const changes = state.changes.filter(({ step, run }) =>
    step <= state.steps && (run === 0 || step >= state.fork && state.fork >= 0));
  const [fork, finish] = [state.fork, state.finish].map((at) => (at > state.steps ? -1 : at));
  return {
    ...state, hidden, fork, finish, run: fork < 0 ? 0 : state.run, changes: changes.sort((a, b) => a.step - b.step),
  };
}
