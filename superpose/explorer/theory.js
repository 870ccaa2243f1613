// What theory says of the loss, in numbers to compare with training: superpose/theory.py and solutions.py

import { minimizeFunction } from "./engine.js";
import { exactLoss } from "./exact.js";
import { nameOf } from "./measures.js";
import { gramOfCorners, polygonCorners, simplexCorners } from "./polytopes.js";
import { moments } from "./worlds.js";

/** @import { Model } from "./exact.js" */
/** @import { Corners } from "./polytopes.js" */
/** @import { World } from "./worlds.js" */
/** @typedef {{name: string, loss: number}} Level a line across the curve of the loss */

/** The loss of a feature that is not represented: `importance Var(x)`. @param {number} density */
export function droppedCost(density, importance = 1) {
  return importance * (density / 3 - density ** 2 / 4);
}

/** The loss of two features stored as `W_a = -W_b` at length 1, with biases of 0. @param {number} density */
export function antipodalCost(density, importance = 1, other = 1) {
  return ((importance + other) * density ** 2) / 6;
}

/**
 * The least loss of the linear model: the m features that would cost most get a dimension each.
 * @param {ArrayLike<number>} density @param {ArrayLike<number>} importance @param {number} m
 */
export function linearLoss(density, importance, m) {
  return leftOut(Array.from(density, (p, i) => droppedCost(p, importance[i])), m);
}

/** The sum of all but the m largest. @param {ArrayLike<number>} cost @param {number} m */
function leftOut(cost, m) {
  return Array.from(cost).sort((a, b) => b - a).slice(m).reduce((a, b) => a + b, 0);
}

/** Solutions for 2 features in 1 dimension and 3 in 2; the extra feature is the last.
 * @type {Record<number, string[]>} */
export const PHASES = {
  2: ["extra not represented", "extra dedicated, other not represented", "extra and other antipodal"],
  3: [
    "extra not represented", "extra dedicated, one other not represented", "extra antipodal to one other",
    "extra dedicated, the others antipodal",
  ],
};

/** W of each of the `PHASES`, as rows. @type {Record<number, number[][][]>} */
export const PROTOTYPES = {
  2: [[[1, 0]], [[0, 1]], [[1, -1]]],
  3: [
    [[1, 0, 0], [0, 1, 0]],
    [[0, 1, 0], [0, 0, 1]],
    [[1, 0, 0], [0, 1, -1]],
    [[1, -1, 0], [0, 0, 1]],
  ],
};

/**
 * The loss of each of the `PROTOTYPES`, for an extra feature of this importance; the others have 1.
 * @param {number} nFeatures @param {number} density @param {number} importance
 */
export function phaseLosses(nFeatures, density, importance) {
  const losses = [droppedCost(density, importance), droppedCost(density), antipodalCost(density, importance)];
  return nFeatures === 3 ? [...losses, antipodalCost(density)] : losses;
}

/**
 * The density below which the best prototype has superposition.
 * @param {number} nFeatures @param {number} importance
 */
export function phaseBoundary(nFeatures, importance) {
  if (importance <= 1) return (4 * importance) / (2 + 5 * importance);
  return nFeatures === 2 ? 4 / (5 + 2 * importance) : 4 / 7;
}

/**
 * Losses to compare training with, falling: only what is known to be right for this world and model. Of
 * solutions in superposition, those that are better than the linear optimum.
 * @param {World} world @param {Pick<Model, "m" | "output" | "layer">} model @returns {Level[]}
 */
export function levels(world, { m, output, layer }) {
  const { variance } = moments(world), cost = variance.map((v, i) => world.importance[i] * v);
  const nothing = { name: "storing nothing", loss: leftOut(cost, 0) }, linear = linearLevel(world, m);
  // ReLUs let non-negative features pass, and bring any other output closer to them.
  const positive = world.values !== "signed", alone = positive && world.kind === "independent";
  if (!linear || !(layer === "relu" ? alone : positive || output === "linear")) return [nothing];
  const shares = alone && output === "relu" && layer === "linear";
  const exact = world.values === "uniform" && world.n <= 6;
  const shared = !shares ? [] : exact ? regularLevels(world, m, cost) : pairLevel(world, m, cost);
  const better = shared.filter(({ loss }) => loss < linear.loss).sort((a, b) => b.loss - a.loss);
  return [nothing, linear, ...better];
}

/**
 * The linear optimum. With `C` the covariance of the features, no matrix `M` of rank m makes `|I^(1/2) (1 -
 * M) C^(1/2)|^2` less than the sum of the smallest squared singular values of `I^(1/2) C^(1/2)`, all but m.
 * The projection `M = W^T W` gets there where I and C have the same eigenvectors; elsewhere this is null.
 * @param {World} world @param {number} m @returns {Level | null}
 */
function linearLevel(world, m) {
  const { mean, variance } = moments(world), cost = /** @type {number[]} */ ([]);
  let first = 0, dedicated = true;
  for (const [set, size] of world.sizes.entries()) {
    const square = mean[first] ** 2, importance = world.importance.subarray(first, first + size);
    const together = world.kind === "correlated" ? square * (1 / world.density[set] - 1) : -square;
    const covariance = size === 1 || square === 0 ? 0 : together;
    if (covariance !== 0 && importance.some((I) => I !== importance[0])) return null;
    importance.forEach((I, i) => cost.push(I * (variance[first] + (i === 0 ? size - 1 : -1) * covariance)));
    dedicated &&= covariance === 0;
    first += size;
  }
  const name = dedicated ? `linear optimum (${Math.min(m, world.n)} dedicated)` : "linear optimum";
  return { name, loss: Math.max(0, leftOut(cost, m)) };
}

/**
 * The best use of m dimensions for dedicated features and antipodal pairs, at length 1 and without biases:
 * the most important features are dedicated, the next in pairs, the others dropped. None for unequal
 * densities.
 * @param {World} world @param {number} m @param {Float64Array} cost of dropping a feature @returns {Level[]}
 */
function pairLevel({ n, density, importance, values }, m, cost) {
  const p = density[0], paired = values === "binary" ? p ** 2 : antipodalCost(p) / 2; // E[min(x, y)^2]
  if (density.some((other) => other !== p)) return [];
  const falling = importance.slice().sort().reverse(), losses = [];
  for (let pairs = 1; pairs <= Math.min(m, n - m); pairs++) {
    const inPairs = falling.subarray(m - pairs, m + pairs);
    losses.push(inPairs.reduce((sum, I) => sum + I * paired, leftOut(cost, m + pairs)));
  }
  return [{ name: "antipodal pairs", loss: Math.min(...losses) }];
}

/** @typedef {{name: string, corners: Corners}} Shape */
/** In the order in which they take the features. @type {Shape[]} */
const REGULAR = [
  { name: "dedicated", corners: [[1]] },
  { name: "digon", corners: simplexCorners(1) },
  { name: "triangle", corners: polygonCorners(3) },
  { name: "pentagon", corners: polygonCorners(5) },
  { name: "hexagon", corners: polygonCorners(6) },
  { name: "tetrahedron", corners: simplexCorners(3) },
  { name: "4-simplex", corners: simplexCorners(4) },
  { name: "5-simplex", corners: simplexCorners(5) },
];

/**
 * Every way to share m dimensions among regular shapes, each at its best. Shapes are in dimensions of their
 * own, so that the loss is the sum of theirs; the features that would cost most come first.
 * @param {World} world @param {number} m @param {Float64Array} cost of dropping a feature @returns {Level[]}
 */
function regularLevels(world, m, cost) {
  const { n, density, importance } = world, order = [...cost.keys()].sort((a, b) => cost[b] - cost[a]);
  const alike = [density, importance].every((each) => each.every((value) => value === each[0]));
  const known = /** @type {Map<string, number>} */ (new Map());
  /** @param {Shape} shape @param {number} first its first feature */
  const lossOfShape = ({ name, corners }, first) => {
    const key = alike ? name : `${name} ${first}`, k = corners[0].length;
    if (!known.has(key)) known.set(key, k > 1 ? bestLoss(corners, world, order.slice(first, first + k)) : 0);
    return known.get(key) ?? 0;
  };
  /** @param {Shape[]} shapes @param {number} first @param {number} left
   * @returns {{parts: Shape[], loss: number}[]} */
  const mixtures = (shapes, first, left) => {
    if (left === 0) return [{ parts: [], loss: leftOut(cost, first) }];
    return shapes.flatMap((shape, at) => {
      const d = shape.corners.length, k = shape.corners[0].length;
      if (d > left || first + k > n) return [];
      return mixtures(shapes.slice(at), first + k, left - d).map(({ parts, loss }) => (
        { parts: [shape, ...parts], loss: lossOfShape(shape, first) + loss }));
    });
  };
  return mixtures(REGULAR, 0, m).map(({ parts, loss }) => (
    { name: nameOf(parts.map(({ name, corners }) => ({ name, features: [...corners[0].keys()] }))), loss }));
}

/**
 * The least exact loss of features in these directions, with free lengths and biases. As in the library, the
 * search starts near length 1, with biases that take away most of the interference, and finds the minimum
 * next to that. Infinite where a feature is not represented there, which makes it another shape.
 * @param {Corners} corners @param {World} world @param {number[]} features
 */
function bestLoss(corners, world, features) {
  const m = corners.length, n = features.length, directions = Float64Array.from(corners.flat());
  const density = Float64Array.from(features, (i) => world.density[i]);
  const importance = Float64Array.from(features, (i) => world.importance[i]);
  const own = { ...world, n, density, importance, sizes: features.map(() => 1) };
  const bias = -0.7 * Math.max(0, ...gramOfCorners(corners).subarray(1, n));
  const lengths = features.map((_, i) => Math.sqrt(1 - bias) * (1 - (0.1 * i) / n)); // no two are equal
  // Lengths matter to active features alone: in these units the loss bends alike along them and along biases.
  const bends = [...importance.map((I, i) => I * density[i]), ...importance].map((bend) => bend || 1);
  const units = bends.map((bend) => Math.sqrt(Math.min(...bends) / bend)); // 1 at most: a small first step
  const start = Float64Array.from([...lengths, ...lengths.map(() => bias)], (x, at) => x / units[at]);
  const { x, value } = minimizeFunction((x) => {
    const free = x.map((x, at) => x * units[at]), gradient = new Float64Array(2 * n);
    const W = directions.map((w, at) => w * free[at % n]);
    const model = /** @type {Model} */ ({ n, m, W, b: free.subarray(n), output: "relu", layer: "linear" });
    const { loss, dW, db } = exactLoss(model, own);
    dW.forEach((slope, at) => (gradient[at % n] += slope * directions[at] * units[at % n]));
    db.forEach((slope, i) => (gradient[n + i] = slope * units[n + i]));
    return { value: loss, gradient };
  }, start, { tolerance: 1e-4, evaluations: 200 });
  return x.subarray(0, n).every((length, i) => length * units[i] > 0.5) ? value : Infinity;
}
