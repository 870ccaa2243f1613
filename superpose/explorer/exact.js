// The exact loss and its gradient, in closed form: no samples and no noise. superpose/exact; docs/exact.md derives
// it.
//
// Output i sees one number, z = c + sum_j g_j x_j. Given which features are active, z = m + sum_j h_j v_j with v
// uniform on [-1, 1]. Where z has one sign the error E[(x_i - ReLU(z))^2] is a polynomial; elsewhere it also needs
// V = E[z |z|] / 2 and T = E[x_i |z|], which is the derivative of V by g_i:
//
//     E[(x - ReLU(z))^2] = E[x^2] - E[x z] + E[z^2] / 2 + V - T.

import { LAWS, moments, setOf, supportCount, supports } from "./worlds.js";

/** @import { World } from "./worlds.js" */
/**
 * One model, `x' = output(W^T layer(W x) + b)`. `W[k * n + i]` is hidden dimension k, feature i.
 * @typedef {{n: number, m: number, W: Float64Array, b: Float64Array, output: "relu" | "linear",
 *   layer: "linear" | "relu"}} Model
 */
/** @typedef {{loss: number, dW: Float64Array, db: Float64Array}} Gradient `dW` in the layout of W */

/** How many numbers a closed form takes: 3^n for each of n independent outputs. @param {World} world */
export function work(world) {
  if (world.values === "binary") return world.n * supportCount(world);
  const pairs = world.sizes.map((size) => (world.kind === "anticorrelated" ? 1 + 2 * size : 1 + 2 ** size));
  return pairs.reduce((product, count) => product * count, world.n);
}

/** More than this is too slow to train with: 8 independent features, or 10 binary ones. */
const MOST_WORK = 60000;

/**
 * Whether the exact loss of such a model is quick enough.
 * @param {World} world @param {Pick<Model, "output" | "layer">} model
 */
export function hasExact(world, model) {
  return model.layer === "linear" && (model.output === "linear" || (world.n <= 30 && work(world) <= MOST_WORK));
}

/**
 * The exact loss, and its gradient.
 * @param {Model} model @param {World} world @returns {Gradient}
 */
export function exactLoss(model, world) {
  const { n, m, W, b } = model;
  const A = new Float64Array(n * n);
  for (let k = 0; k < m; k++) {
    for (let i = 0; i < n; i++) {
      const w = W[k * n + i];
      if (w !== 0) for (let j = 0; j < n; j++) A[i * n + j] += w * W[k * n + j];
    }
  }
  const { loss, dA, db } = model.output === "linear" ? linearErrors(A, b, world) : reluErrors(A, b, world);
  const dW = new Float64Array(m * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const slope = dA[i * n + j] + dA[j * n + i];
      if (slope !== 0) for (let k = 0; k < m; k++) dW[k * n + j] += slope * W[k * n + i];
    }
  }
  return { loss: Math.max(loss, 0), dW, db }; // rounding may take it below 0
}

/**
 * `E |x - A x - b|^2`, weighted: a polynomial in moments.
 * @param {Float64Array} A @param {Float64Array} b @param {World} world
 */
function linearErrors(A, b, world) {
  const { n, importance } = world, { mean, variance } = moments(world);
  const { low, width } = LAWS[world.values], middle = low + width / 2, sets = setOf(world);
  const dA = new Float64Array(n * n), db = new Float64Array(n);
  let loss = 0;
  for (let i = 0; i < n; i++) {
    const off = Float64Array.from({ length: n }, (_, j) => A[i * n + j] - (i === j ? 1 : 0));
    let shift = b[i];
    for (let j = 0; j < n; j++) shift += off[j] * mean[j];
    const spread = off.map((a, j) => a * variance[j]);
    if (world.kind !== "independent") {
      for (let j = 0; j < n; j++) {
        for (let l = 0; l < n; l++) {
          if (j === l || sets[j] !== sets[l]) continue;
          const both = world.kind === "correlated" ? world.density[sets[j]] * middle ** 2 : 0;
          spread[j] += (both - mean[j] * mean[l]) * off[l];
        }
      }
    }
    loss += importance[i] * (shift * shift + spread.reduce((sum, s, j) => sum + s * off[j], 0));
    db[i] = 2 * importance[i] * shift;
    for (let j = 0; j < n; j++) dA[i * n + j] = 2 * importance[i] * (shift * mean[j] + spread[j]);
  }
  return { loss, dA, db };
}

/** @type {{of: World | null, supports: ReturnType<typeof supports>}} */
const lastSupports = { of: null, supports: { mask: new Int32Array(0), chance: new Float64Array(0) } };

/**
 * The same for a ReLU output: the sum over all supports.
 * @param {Float64Array} A @param {Float64Array} b @param {World} world
 */
function reluErrors(A, b, world) {
  const { n, importance } = world, { low, width } = LAWS[world.values];
  const mean = low + width / 2, square = mean ** 2 + width ** 2 / 12;
  if (lastSupports.of !== world) Object.assign(lastSupports, { of: world, supports: supports(world) });
  const { mask, chance } = lastSupports.supports;
  const dA = new Float64Array(n * n), db = new Float64Array(n);
  const tree = treeOf(n), { half, turn, byHalf } = tree;
  const gains = new Float64Array(n), order = new Int32Array(n), active = new Int32Array(n);
  let loss = 0;
  for (let i = 0; i < n; i++) {
    if (importance[i] === 0) continue;
    for (let j = 0; j < n; j++) gains[j] = A[i * n + j];
    sortBySize(gains, order);
    let error = 0, byC = 0;
    for (let s = 0; s < mask.length; s++) {
      let d = 0, m = b[i], reach = 0, squares = 0, own = -1;
      for (let at = 0; at < n; at++) {
        const j = order[at];
        if (!((mask[s] >> j) & 1)) continue;
        if (j === i) own = d;
        active[d] = j;
        half[d] = (width / 2) * gains[j];
        m += mean * gains[j];
        reach += Math.abs(half[d]);
        squares += half[d] ** 2 / 3;
        d++;
      }
      const p = chance[s], tt = own < 0 ? 0 : square;
      if (m <= -reach) { // never positive
        error += p * tt;
        continue;
      }
      // E[x z], and E[z^2]; byM and byHalf are the slopes of the error by m and by each half.
      const tz = own < 0 ? 0 : mean * m + (width / 6) * half[own], zz = m * m + squares;
      let byM;
      if (m >= reach) { // never negative: the error of a linear output
        error += p * (tt - 2 * tz + zz);
        byM = 2 * (m - (own < 0 ? 0 : mean));
        for (let k = 0; k < d; k++) byHalf[k] = (2 / 3) * half[k];
        if (own >= 0) byHalf[own] -= width / 3;
      } else {
        for (let k = 0; k < d; k++) turn[k] = k === own ? width / 2 : 0;
        tree.bend(d, m, own < 0 ? 0 : mean);
        error += p * (tt - tz + zz / 2 + tree.value - tree.slope);
        byM = m - (own < 0 ? 0 : mean) + tree.byM;
        for (let k = 0; k < d; k++) byHalf[k] += half[k] / 3;
        if (own >= 0) byHalf[own] -= width / 6;
      }
      byC += p * byM;
      for (let k = 0; k < d; k++) dA[i * n + active[k]] += p * (mean * byM + (width / 2) * byHalf[k]);
    }
    loss += importance[i] * error;
    db[i] = importance[i] * byC;
    for (let j = 0; j < n; j++) dA[i * n + j] *= importance[i];
  }
  return { loss, dA, db };
}

/** The places of the gains by falling size. @param {Float64Array} gains @param {Int32Array} order */
function sortBySize(gains, order) {
  for (let j = 0; j < gains.length; j++) {
    let at = j;
    for (; at > 0 && Math.abs(gains[order[at - 1]]) < Math.abs(gains[j]); at--) order[at] = order[at - 1];
    order[at] = j;
  }
}

const INVERSE_FACTORIAL = Float64Array.from({ length: 40 }, (_, k) =>
  1 / Array.from({ length: k }, (_, j) => j + 1).reduce((a, b) => a * b, 1));

/** @type {Map<number, Tree>} */
const trees = new Map();
/** @param {number} n */
function treeOf(n) {
  let tree = trees.get(n);
  if (!tree) trees.set(n, (tree = new Tree(n)));
  return tree;
}

/**
 * The mean of z |z| / 2 over the cube, for z = m + sum_k half[k] v_k, the halves by falling size; its slopes; and
 * the change of all of these along one direction, that of the output's own gain.
 *
 * F_k = sgn(z) z^(k+2) / (k+2)! is the k-th antiderivative of z |z| / 2, and M_k(m) the mean of F_k over the halves
 * from k on. Where these leave z one sign it is a polynomial, whose coefficients come from the series of
 * prod sinh(h t) / (h t); elsewhere M_k(m) = (M_(k+1)(m + h) - M_(k+1)(m - h)) / 2h, with h the largest half left, so
 * that no digits are lost. A variable named d... is the change of another along that direction.
 */
class Tree {
  /** @param {number} n */
  constructor(n) {
    this.half = new Float64Array(n);
    /** The change of each half. */
    this.turn = new Float64Array(n);
    this.reach = new Float64Array(n + 1);
    /** The slopes of V - T. */
    this.byHalf = new Float64Array(n);
    this.byM = 0;
    this.value = this.slope = 0;
    this.d = 0;
    const terms = (n >> 1) + 2;
    this.terms = terms;
    // The series s_r of the halves from level k on, at [k * terms + r]; its change; and the slopes by both.
    this.series = new Float64Array((n + 1) * terms);
    this.dSeries = new Float64Array((n + 1) * terms);
    this.bySeries = new Float64Array((n + 1) * terms);
    this.dBySeries = new Float64Array((n + 1) * terms);
    this.dByHalf = new Float64Array(n);
    this.power = new Float64Array(n + 3);
    this.factor = new Float64Array(terms);
    // What `descend` returns: a value, its slope by m, and the changes of both.
    this.v = this.dv = this.u = this.du = 0;
  }

  /** @param {number} d how many halves @param {number} m @param {number} dm */
  bend(d, m, dm) {
    const { half, turn, reach, series, dSeries, terms } = this;
    this.d = d;
    this.bySeries.fill(0, 0, (d + 1) * terms);
    this.dBySeries.fill(0, 0, (d + 1) * terms);
    this.byHalf.fill(0, 0, d);
    this.dByHalf.fill(0, 0, d);
    reach[d] = 0;
    series.fill(0, d * terms, (d + 1) * terms);
    dSeries.fill(0, d * terms, (d + 1) * terms);
    series[d * terms] = 1;
    for (let k = d - 1; k >= 0; k--) {
      const h = half[k], square = h * h;
      reach[k] = reach[k + 1] + Math.abs(h);
      for (let r = 0; r <= (k + 2) >> 1; r++) {
        let sum = series[(k + 1) * terms + r], change = dSeries[(k + 1) * terms + r], odd = h; // h^(2a - 1)
        for (let a = 1; a <= r; a++) {
          const q = INVERSE_FACTORIAL[2 * a + 1], at = (k + 1) * terms + r - a;
          sum += q * odd * h * series[at];
          change += q * odd * (h * dSeries[at] + 2 * a * turn[k] * series[at]);
          odd *= square;
        }
        series[k * terms + r] = sum;
        dSeries[k * terms + r] = change;
      }
    }
    this.descend(0, m, dm, 1, 0);
    this.value = this.v;
    this.slope = this.dv;
    this.byM = this.u - this.du;
    this.backSeries();
    for (let k = 0; k < d; k++) this.byHalf[k] -= this.dByHalf[k];
  }

  /**
   * M_k at m, where a and da are the slope of the result by it. Leaves value and slope by m in v, dv, u, du.
   * @param {number} k @param {number} m @param {number} dm @param {number} a @param {number} da
   */
  descend(k, m, dm, a, da) {
    if (Math.abs(m) >= this.reach[k]) return this.leaf(k, m, dm, a, da);
    const h = this.half[k], dh = this.turn[k], by = 0.5 / h, dby = (-by * dh) / h;
    const b = a * by, db = da * by + a * dby;
    this.descend(k + 1, m + h, dm + dh, b, db);
    const { v, dv, u, du } = this;
    this.descend(k + 1, m - h, dm - dh, -b, -db);
    const apart = v - this.v, dApart = dv - this.dv;
    this.v = apart * by;
    this.dv = dApart * by + apart * dby;
    this.byHalf[k] += u - this.u - (a * this.v) / h;
    this.dByHalf[k] += du - this.du - (da * this.v + a * this.dv) / h + (a * this.v * dh) / (h * h);
    this.u += u;
    this.du += du;
  }

  /**
   * The same where z has one sign.
   * @param {number} k @param {number} m @param {number} dm @param {number} a @param {number} da
   */
  leaf(k, m, dm, a, da) {
    const { power, series, dSeries, bySeries, dBySeries } = this, degree = k + 2, from = k * this.terms;
    const sign = Math.sign(m);
    power[0] = sign; // sign m^e / e!
    for (let e = 1; e <= degree; e++) power[e] = (power[e - 1] * m) / e;
    let f = 0, df = 0, g = 0, dg = 0; // the polynomial, its slope by m, and their changes at fixed m
    let curve = 0;
    for (let r = 0; 2 * r <= degree; r++) {
      const s = series[from + r], ds = dSeries[from + r], e = degree - 2 * r;
      f += power[e] * s;
      df += power[e] * ds;
      if (e > 0) {
        g += power[e - 1] * s;
        dg += power[e - 1] * ds;
      }
      if (e > 1) curve += power[e - 2] * s;
      bySeries[from + r] += a * power[e];
      dBySeries[from + r] += da * power[e] + (e > 0 ? a * power[e - 1] * dm : 0);
    }
    this.v = f;
    this.dv = df + g * dm;
    this.u = a * g;
    this.du = da * g + a * (dg + curve * dm);
  }

  /** Carry the slopes by the series on to the halves. */
  backSeries() {
    const { half, turn, series, dSeries, bySeries, dBySeries, byHalf, dByHalf, terms, d } = this;
    for (let k = 0; k < d; k++) {
      const h = half[k], dh = turn[k];
      for (let r = 0; r <= (k + 2) >> 1; r++) {
        const b = bySeries[k * terms + r], db = dBySeries[k * terms + r], next = (k + 1) * terms + r;
        bySeries[next] += b;
        dBySeries[next] += db;
        let even = 1; // h^(2a - 2)
        for (let a = 1; a <= r; a++) {
          const q = INVERSE_FACTORIAL[2 * a + 1] * even, at = next - a; // h^2 q, and its slope and curve by h
          const slope = 2 * a * q * h, curve = 2 * a * (2 * a - 1) * q;
          bySeries[at] += b * q * h * h;
          dBySeries[at] += db * q * h * h + b * slope * dh;
          byHalf[k] += b * series[at] * slope;
          dByHalf[k] += (db * series[at] + b * dSeries[at]) * slope + b * series[at] * curve * dh;
          even *= h * h;
        }
      }
    }
  }
}
