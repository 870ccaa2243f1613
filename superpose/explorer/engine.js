// Models that train: what the page, its Workers and the tests import. Nothing here knows of a page.

import { foldIn, memberKey, normal, stream } from "./draws.js";
import { exactLoss, hasExact } from "./exact.js";
import { sample, worldOf } from "./worlds.js";

/** @import { Key } from "./draws.js" */
/** @import { Gradient, Model } from "./exact.js" */
/** @import { World, WorldSpec } from "./worlds.js" */
/** @typedef {"adam" | "sgd"} Optimizer */
/** How a model is trained: by its exact loss, or on `batch` samples a step.
 * @typedef {{optimizer: Optimizer, rate: number, exact: boolean, batch: number}} Training */
/**
 * A model in training, as plain data: to copy it is to fork it. `first` and `second` are Adam's moments, of W and then
 * b. `history` has the loss at some steps, closer together at the beginning; of a sampled loss, its mean since the step
 * before.
 * @typedef {{model: Model, world: World, training: Training, seed: number, step: number, first: Float64Array,
 *   second: Float64Array, history: {step: number[], loss: number[]}, since: {sum: number, count: number}}} Run
 */

/**
 * The initial model of a seed: that of member `seed` in the library's ensemble of key 0, with Xavier-normal weights.
 * @param {number} n features @param {number} m hidden dimensions @param {number} seed
 * @param {Pick<Model, "output" | "layer">} [kind] @returns {Model}
 */
export function initial(n, m, seed, kind = { output: "relu", layer: "linear" }) {
  const std = Math.fround(Math.sqrt(2 / (n + m)));
  const W = normal(stream(stream(memberKey(seed), "initial weights"), "W"), m * n).map((w) => Math.fround(std * w));
  return { n, m, W, b: new Float64Array(n), output: kind.output, layer: kind.layer };
}

/** @param {ArrayLike<ArrayLike<number>>} W rows of hidden dimensions @param {ArrayLike<number>} b @returns {Model} */
export function modelOf(W, b) {
  const m = W.length, n = b.length;
  const flat = Float64Array.from(Array.from(W).flatMap((row) => Array.from(row)));
  if (flat.length !== m * n) throw new Error(`each of the ${m} rows of W must have ${n} numbers, as b has`);
  return { n, m, W: flat, b: Float64Array.from(b), output: "relu", layer: "linear" };
}

/** W as rows of hidden dimensions. @param {{m: number, n: number}} model @param {Float64Array} W */
export function rows(model, W) {
  return Array.from({ length: model.m }, (_, k) => Array.from(W.subarray(k * model.n, (k + 1) * model.n)));
}

/**
 * The exact loss of `ReLU(W^T W x + b)`, with its gradient.
 * @param {number[][]} W rows of hidden dimensions @param {number[]} b @param {WorldSpec} world
 * @param {Partial<Pick<Model, "output">>} [kind]
 */
export function loss(W, b, world, kind = {}) {
  const model = { ...modelOf(W, b), ...kind }, full = worldOf(world, model.n);
  if (!hasExact(full, model)) throw new Error(`${model.n} features are too many for the closed form; use sampled`);
  const { loss, dW, db } = exactLoss(model, full);
  return { loss, dW: rows(model, dW), db: Array.from(db) };
}

/**
 * The mean loss on a batch of samples, with its gradient.
 * @param {number[][]} W @param {number[]} b @param {WorldSpec} world @param {number} batch @param {number} seed
 * @param {Partial<Pick<Model, "output" | "layer">>} [kind]
 */
export function sampled(W, b, world, batch, seed, kind = {}) {
  const model = { ...modelOf(W, b), ...kind }, full = worldOf(world, model.n);
  const { loss, dW, db } = sampledLoss(model, full, drawKey(seed, 0), batch);
  return { loss, dW: rows(model, dW), db: Array.from(db) };
}

/**
 * A model after `steps` steps of training.
 * @param {number[][]} W @param {number[]} b @param {WorldSpec} world
 * @param {{steps: number, seed?: number} & Partial<Training> & Partial<Pick<Model, "output" | "layer">>} how
 */
export function train(W, b, world, how) {
  const { steps, seed = 0, output = "relu", layer = "linear", ...rest } = how;
  const model = { ...modelOf(W, b), output, layer };
  const run = newRun(model, worldOf(world, model.n), { ...TRAINING, ...rest }, seed);
  advance(run, steps);
  return { W: rows(model, run.model.W), b: Array.from(run.model.b), loss: lossOf(run).loss, history: run.history };
}

/** @type {Training} */
export const TRAINING = { optimizer: "adam", rate: 0.01, exact: true, batch: 1024 };

/** @param {number} seed @param {number} step @returns {Key} */
function drawKey(seed, step) {
  return foldIn(stream(memberKey(seed), "draws of training"), step);
}

/**
 * @param {Model} model @param {World} world @param {Training} training @param {number} seed @returns {Run}
 */
export function newRun(model, world, training, seed) {
  const size = model.W.length + model.b.length;
  return {
    model: { ...model, W: model.W.slice(), b: model.b.slice() }, world, training: { ...training }, seed, step: 0,
    first: new Float64Array(size), second: new Float64Array(size),
    history: { step: [], loss: [] }, since: { sum: 0, count: 0 },
  };
}

/** The loss that the next step of a run goes down, and its gradient. @param {Run} run @returns {Gradient} */
export function lossOf(run) {
  const { model, world, training } = run;
  if (training.exact && hasExact(world, model)) return exactLoss(model, world);
  return sampledLoss(model, world, drawKey(run.seed, run.step), training.batch);
}

/**
 * Take steps until as many are done or the time is over; returns how many.
 * @param {Run} run changed @param {number} steps @param {number} [seconds]
 */
export function advance(run, steps, seconds = Infinity) {
  const end = performance.now() + 1000 * seconds, { history, since } = run;
  for (let done = 0; done < steps; done++) {
    if (done > 0 && performance.now() > end) return done;
    const gradient = lossOf(run);
    since.sum += gradient.loss;
    since.count++;
    const last = history.step.at(-1);
    if (last === undefined || run.step >= Math.max(last + 1, 1.012 * last)) {
      history.step.push(run.step);
      history.loss.push(since.sum / since.count);
      since.sum = since.count = 0;
    }
    update(run, gradient);
  }
  return steps;
}

/** One step of the optimizer. @param {Run} run @param {Gradient} gradient */
function update(run, gradient) {
  const { model, first, second, training: { optimizer, rate } } = run;
  run.step++;
  const left1 = 1 - 0.9 ** run.step, left2 = 1 - 0.999 ** run.step;
  let at = 0;
  for (const [x, slope] of /** @type {const} */ ([[model.W, gradient.dW], [model.b, gradient.db]])) {
    for (let i = 0; i < x.length; i++, at++) {
      if (optimizer === "sgd") x[i] -= rate * slope[i];
      else {
        first[at] = 0.9 * first[at] + 0.1 * slope[i];
        second[at] = 0.999 * second[at] + 0.001 * slope[i] ** 2;
        x[i] -= (rate * first[at]) / left1 / (Math.sqrt(second[at] / left2) + 1e-8);
      }
    }
  }
}

/**
 * The mean of `sum_i importance_i (x_i - x'_i)^2` over samples, with its gradient. Features that are 0 take no work.
 * @param {Model} model @param {World} world @param {Key} key @param {number} batch @returns {Gradient}
 */
export function sampledLoss(model, world, key, batch) {
  const { n, m, W, b } = model, { importance } = world;
  const x = sample(world, key, batch), relu = model.output === "relu", hidden = model.layer === "relu";
  const columns = new Float64Array(n * m); // W by features, so that the inner loops run along memory
  for (let k = 0; k < m; k++) for (let i = 0; i < n; i++) columns[i * m + k] = W[k * n + i];
  const dColumns = new Float64Array(n * m), db = new Float64Array(n);
  const h = new Float64Array(m), dh = new Float64Array(m), active = new Int32Array(n);
  let total = 0;
  for (let s = 0; s < batch; s++) {
    let count = 0;
    h.fill(0);
    dh.fill(0);
    for (let i = 0; i < n; i++) {
      const xi = x[i * batch + s];
      if (xi === 0) continue;
      active[count++] = i;
      for (let k = 0, at = i * m; k < m; k++, at++) h[k] += columns[at] * xi;
    }
    if (hidden) for (let k = 0; k < m; k++) if (h[k] < 0) h[k] = 0;
    for (let i = 0; i < n; i++) {
      let z = b[i];
      for (let k = 0, at = i * m; k < m; k++, at++) z += columns[at] * h[k];
      const xi = x[i * batch + s], dead = relu && z <= 0;
      const short = (dead ? 0 : z) - xi;
      total += importance[i] * short * short;
      if (dead || short === 0) continue;
      const slope = 2 * importance[i] * short;
      db[i] += slope;
      for (let k = 0, at = i * m; k < m; k++, at++) {
        dh[k] += slope * columns[at];
        dColumns[at] += slope * h[k];
      }
    }
    if (hidden) for (let k = 0; k < m; k++) if (h[k] === 0) dh[k] = 0;
    for (let a = 0; a < count; a++) {
      const xi = x[active[a] * batch + s];
      for (let k = 0, at = active[a] * m; k < m; k++, at++) dColumns[at] += dh[k] * xi;
    }
  }
  const dW = new Float64Array(m * n);
  for (let k = 0; k < m; k++) for (let i = 0; i < n; i++) dW[k * n + i] = dColumns[i * m + k] / batch;
  return { loss: total / batch, dW, db: db.map((slope) => slope / batch) };
}

/**
 * The local minimum of the exact loss next to a model, by BFGS.
 * @param {Model} model @param {World} world
 * @returns {{model: Model, loss: number, converged: boolean}}
 */
export function minimize(model, world) {
  const size = model.W.length, x0 = new Float64Array(size + model.n);
  x0.set(model.W);
  x0.set(model.b, size);
  const at = (/** @type {Float64Array} */ x) => ({ ...model, W: x.slice(0, size), b: x.slice(size) });
  const found = minimizeFunction((x) => {
    const { loss, dW, db } = exactLoss(at(x), world), gradient = new Float64Array(x.length);
    gradient.set(dW);
    gradient.set(db, size);
    return { value: loss, gradient };
  }, x0);
  return { model: at(found.x), loss: found.value, converged: found.converged };
}

/**
 * A local minimum of a function, by BFGS with an Armijo line search. It has converged where no slope exceeds
 * `tolerance` times the value at the start.
 * @param {(x: Float64Array) => {value: number, gradient: Float64Array}} f @param {Float64Array} x0
 * @param {{tolerance?: number, evaluations?: number}} [settings]
 */
export function minimizeFunction(f, x0, { tolerance = 1e-7, evaluations = 500 } = {}) {
  const n = x0.length, H = new Float64Array(n * n); // the inverse Hessian, as estimated
  let x = x0, { value, gradient: g } = f(x), fresh = true, used = 1, stalled = 0;
  const small = tolerance * Math.abs(value);
  const steepest = () => {
    H.fill(0);
    for (let i = 0; i < n; i++) H[i * n + i] = 1;
    fresh = true;
  };
  steepest();
  while (steepness(g) > small && used < evaluations) {
    let d = product(H, g).map((a) => -a), slope = dot(d, g);
    if (!(slope < 0)) {
      steepest();
      d = g.map((a) => -a);
      slope = dot(d, g);
    }
    let t = fresh ? Math.min(1, 0.3 / Math.sqrt(dot(g, g))) : 1, next = x, at = { value, gradient: g };
    for (; used < evaluations; used++) {
      next = x.map((a, i) => a + t * d[i]);
      at = f(next);
      if (at.value <= value + 1e-4 * t * slope) break;
      const curve = at.value - value - t * slope;
      t *= Math.min(0.5, Math.max(0.1, curve > 0 ? (-t * slope) / (2 * curve) : 0.5));
      if (t < 1e-14) {
        if (fresh) return { x, value, converged: steepness(g) <= 100 * small };
        break;
      }
    }
    used++;
    if (t < 1e-14) {
      steepest();
      continue;
    }
    const s = next.map((a, i) => a - x[i]), y = at.gradient.map((a, i) => a - g[i]), sy = dot(s, y);
    if (sy > 1e-14 * Math.sqrt(dot(s, s) * dot(y, y))) {
      if (fresh) {
        const size = sy / dot(y, y);
        for (let i = 0; i < n; i++) H[i * n + i] = size;
      }
      const Hy = product(H, y), gain = (1 + dot(y, Hy) / sy) / sy;
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) H[i * n + j] += gain * s[i] * s[j] - (Hy[i] * s[j] + s[i] * Hy[j]) / sy;
      }
      fresh = false;
    }
    stalled = value - at.value > 4e-16 * Math.abs(value) ? 0 : stalled + 1;
    x = next;
    ({ value, gradient: g } = at);
    if (stalled > 3) return { x, value, converged: steepness(g) <= 100 * small }; // only rounding is left
  }
  return { x, value, converged: steepness(g) <= small };
}

/** The largest slope. @param {Float64Array} gradient */
function steepness(gradient) {
  return gradient.reduce((most, slope) => Math.max(most, Math.abs(slope)), 0);
}

/** @param {Float64Array} a @param {Float64Array} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** @param {Float64Array} H square @param {Float64Array} x */
function product(H, x) {
  const n = x.length;
  return x.map((_, i) => dot(H.subarray(i * n, (i + 1) * n), x));
}
