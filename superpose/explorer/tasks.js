// What a Worker can be asked for. Each task is a pure function of plain data: no Worker keeps anything, so that a run
// can go on in any of them, in Node, or in the page itself.

import { hasExact } from "./exact.js";
import { advance, initial, minimize } from "./engine.js";
import { levels } from "./theory.js";
import { worldOf } from "./worlds.js";

/** @import { Model } from "./exact.js" */
/** @import { Run } from "./engine.js" */
/** @import { Level } from "./theory.js" */
/** @import { World } from "./worlds.js" */
/** A minimum that a start found. @typedef {{model: Model, loss: number, converged: boolean, seed: number}} Solution */
/** A point of the phase diagram. @typedef {{density: number, importance: number}} Cell */

/** Tasks by name. */
export const TASKS = {
  /**
   * Runs side by side, in turn, until each has taken as many steps or the time is over: all have then taken equally
   * many.
   * @param {{runs: Run[], steps: number, seconds?: number}} asked
   * @returns {{runs: Run[], done: number, took: number}} `took` in milliseconds
   */
  advance({ runs, steps, seconds = Infinity }) {
    const begin = performance.now(), end = begin + 1000 * seconds;
    let done = 0;
    for (let some = 1; done < steps && (done === 0 || performance.now() < end); some = Math.min(2 * some, 64)) {
      const next = Math.min(some, steps - done);
      for (const run of runs) advance(run, next);
      done += next;
    }
    return { runs, done, took: performance.now() - begin };
  },

  /**
   * The exact minimum next to each model. @param {{models: Model[], world: World}} asked @returns {Solution[]}
   */
  finish({ models, world }) {
    if (models.some((model) => !hasExact(world, model)))
      throw new Error("only models with an exact loss have exact minima");
    return models.map((model, seed) => ({ ...minimize(model, world), seed }));
  },

  /**
   * The best of `members` starts in each cell of the phase diagram of n features in m dimensions, of which the last has
   * another importance, as in the library's experiment `phase-diagram`; and the share of starts that reach it.
   * @param {{cells: Cell[], n: number, m: number, members: number}} asked
   * @returns {(Solution & {reached: number})[]}
   */
  solve({ cells, n, m, members }) {
    const starts = Array.from({ length: members }, (_, seed) => initial(n, m, seed));
    return cells.map((cell) => {
      const world = phaseWorld(cell, n);
      const found = starts.map((start, seed) => ({ ...minimize(start, world), seed }));
      const best = found.reduce((a, b) => (b.loss < a.loss ? b : a));
      return { ...best, reached: found.filter((each) => each.loss <= best.loss * (1 + 1e-5)).length / members };
    });
  },

  /**
   * What theory says of the loss of such models.
   * @param {{world: World, model: Pick<Model, "m" | "output" | "layer">}} asked
   * @returns {Level[]}
   */
  levels({ world, model }) {
    return levels(world, model);
  },
};

/** The world of a point of the phase diagram. @param {Cell} cell @param {number} n @returns {World} */
export function phaseWorld({ density, importance }, n) {
  return worldOf({ density, importance: Array.from({ length: n }, (_, i) => (i === n - 1 ? importance : 1)) }, n);
}

/** @typedef {typeof TASKS} Tasks */
