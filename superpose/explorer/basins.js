// What many starts found: which minima are the same, and how certain the best is. superpose/train/_basins.py

import { densities, LAWS, setOf } from "./worlds.js";

/** @import { Model } from "./exact.js" */
/** @import { World } from "./worlds.js" */
/** What is known of a start's end. @typedef {{model: Model, loss: number, converged: boolean}} Found */
/**
 * `label` is the minimum of each start, 0 the best, -1 where it did not converge; `reached` the share of starts that
 * reached the least loss; `gap` how far the next loss lies above it, as a share; a better minimum was `missed`, with
 * 95% confidence, only if a start reaches it with a chance below this.
 * @typedef {{label: number[], best: number, reached: number, distinct: number, gap: number, missed: number,
 *   converged: number}} Basins
 */

/** Losses that differ by no more than this share are equal. */
const SAME_LOSS = 1e-5;
/** Preactivations `A x + c` whose numbers differ by no more than this are equal. */
const SAME_WEIGHTS = 1e-3;

/** The minima of many starts in one world. @param {Found[]} found @param {World} world @returns {Basins} */
export function basins(found, world) {
  const loss = found.map((each) => (each.converged ? each.loss : Infinity)), best = Math.min(...loss);
  const numbers = found.map(({ model }) => invariants(model, world));
  const label = loss.map(() => -1);
  let distinct = 0;
  /** @param {number} at */
  const open = (at) => loss[at] < Infinity && label[at] === -1;
  for (; ; distinct++) {
    const first = loss.reduce((least, _, at) => (open(at) && !(loss[at] >= loss[least]) ? at : least), -1);
    if (first === -1) break;
    for (const at of loss.keys()) if (open(at) && same(at, first)) label[at] = distinct;
  }
  /** @param {number} a @param {number} first */
  function same(a, first) {
    return loss[a] <= loss[first] * (1 + SAME_LOSS)
      && numbers[a].every((x, at) => Math.abs(x - numbers[first][at]) <= SAME_WEIGHTS);
  }
  const ended = loss.filter((each) => each < Infinity), lowest = ended.filter((each) => each <= best * (1 + SAME_LOSS));
  const second = Math.min(...ended.filter((each) => each > best * (1 + SAME_LOSS)));
  return {
    label, best: ended.length ? best : NaN, reached: lowest.length / loss.length, distinct,
    gap: second < Infinity ? second / best - 1 : NaN, missed: 1 - 0.05 ** (1 / ended.length),
    converged: ended.length / loss.length,
  };
}

/**
 * Numbers that are the same for models that differ only by a rotation or by an exchange of equivalent features: the
 * sorted biases, sums of squares and entries of `W^T W`, each kind by itself. An output that is never positive is 0.
 * @param {Model} model @param {World} world
 */
function invariants({ n, m, W, b, output }, world) {
  const { low, width } = LAWS[world.values], high = low + width;
  const A = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => {
    let a = 0;
    for (let k = 0; k < m; k++) a += W[k * n + i] * W[k * n + j];
    return a;
  }));
  const c = Array.from(b);
  A.forEach((row, i) => {
    const most = row.reduce((sum, a) => sum + Math.max(a * low, a * high, 0), c[i]);
    if (output === "relu" && most <= 0) [A[i], c[i]] = [row.map(() => 0), 0];
  });
  const kind = kindsOf(world), set = setOf(world);
  const near = (/** @type {number} */ i, /** @type {number} */ j) => Number(i === j) + Number(set[i] === set[j]);
  const pair = A.flatMap((row, i) => row.map((_, j) => (kind[i] * n + kind[j]) * 3 + near(i, j)));
  const squares = A.map((row) => row.reduce((sum, a) => sum + a * a, 0));
  return [...sortedByKind(c, kind), ...sortedByKind(squares, kind), ...sortedByKind(A.flat(), pair)];
}

/** @param {number[]} values @param {number[]} kind */
function sortedByKind(values, kind) {
  const order = [...values.keys()].sort((a, b) => kind[a] - kind[b] || values[a] - values[b]);
  return order.map((at) => values[at]);
}

/** For each feature the first that is equivalent to it. @param {World} world */
function kindsOf(world) {
  const density = densities(world), set = setOf(world);
  const traits = [density, world.importance, set.map((at) => world.sizes[at])];
  return set.map((_, i) => set.findIndex((_, j) =>
    traits.every((of) => Math.abs(of[i] - of[j]) <= 1e-9 * Math.abs(of[j]))));
}
