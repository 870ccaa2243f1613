// Measures of one model, as the library has them: superpose/measures.py, curves.py and plot.py

import { CORNERS, connectedParts, nearestPolytope, polygonCorners } from "./polytopes.js";

/** @import { Model } from "./exact.js" */
/** What measures need of a model. @typedef {Pick<Model, "n" | "m" | "W">} Weights */
/** "dedicated" is a single feature; "unnamed", with the error NaN, is like no polytope.
 * @typedef {{name: string, features: number[], rank: number, error: number}} Polytope */

/** A column shorter than this has no direction. */
const NO_LENGTH = 1e-6;

/** `|W_i|`. @param {Weights} model */
export function norms({ n, m, W }) {
  const columns = Array.from({ length: n }, (_, i) => Array.from({ length: m }, (_, k) => W[k * n + i]));
  return Float64Array.from(columns, (column) => Math.hypot(...column));
}

/** `W^T W`. @param {Weights} model */
export function gram({ n, m, W }) {
  return innerProducts(n, m, W, W);
}

/** `What_i . What_j`; 0 for an ignored feature. @param {Weights} model */
export function cosines(model) {
  const unit = directionsOf(model);
  return innerProducts(model.n, model.m, unit, unit);
}

/** `sum_{j != i} (What_i . W_j)^2`; 0 for an ignored feature. @param {Weights} model */
export function superposition(model) {
  const { n, m, W } = model, along = innerProducts(n, m, directionsOf(model), W);
  return new Float64Array(n).map((_, i) => {
    let sum = 0;
    for (let j = 0; j < n; j++) if (j !== i) sum += along[i * n + j] ** 2;
    return sum;
  });
}

/** `D_i = |W_i|^2 / sum_j (What_i . W_j)^2`; 0 for an ignored feature. @param {Weights} model */
export function dimensionality(model) {
  const { n, m, W } = model, along = innerProducts(n, m, directionsOf(model), W);
  return norms(model).map((length, i) => {
    if (length <= NO_LENGTH) return 0;
    let sum = 0; // in units of the feature's own length, so that no square is too large
    for (let j = 0; j < n; j++) sum += (along[i * n + j] / length) ** 2;
    return 1 / sum;
  });
}

/** The columns of W at length 1, or 0 where they have no direction. @param {Weights} model */
function directionsOf(model) {
  const length = norms(model);
  return model.W.map((w, at) => (length[at % model.n] <= NO_LENGTH ? 0 : w / length[at % model.n]));
}

/**
 * `A^T B` of two m x n matrices.
 * @param {number} n @param {number} m @param {Float64Array} A @param {Float64Array} B
 */
function innerProducts(n, m, A, B) {
  const C = new Float64Array(n * n);
  for (let k = 0; k < m; k++) {
    for (let i = 0; i < n; i++) {
      const a = A[k * n + i];
      for (let j = 0; j < n; j++) C[i * n + j] += a * B[k * n + j];
    }
  }
  return C;
}

/**
 * `A A^T` of some columns of an m x n matrix.
 * @param {number} n @param {number} m @param {Float64Array} A @param {number[]} columns
 */
function outerProducts(n, m, A, columns) {
  const C = new Float64Array(m * m);
  for (const i of columns) {
    for (let k = 0; k < m; k++) for (let l = 0; l < m; l++) C[k * m + l] += A[k * n + i] * A[l * n + i];
  }
  return C;
}

/**
 * The eigenvalues of a symmetric matrix, falling, and as rows its eigenvectors, by Jacobi's rotations.
 * @param {Float64Array} matrix @param {number} size
 */
function eigenOf(matrix, size) {
  const A = matrix.slice(), V = matrix.map((_, at) => (at % (size + 1) === 0 ? 1 : 0));
  /** @param {Float64Array} M @param {number} p @param {number} q @param {number} step @param {number} t */
  const rotate = (M, p, q, step, t) => {
    const c = 1 / Math.hypot(t, 1), s = t * c;
    for (let k = 0; k < size; k++, p += step, q += step) {
      const x = M[p], y = M[q];
      M[p] = c * x - s * y;
      M[q] = s * x + c * y;
    }
  };
  for (let sweep = 0; sweep < 30; sweep++) {
    let on = 0, off = 0;
    A.forEach((a, at) => (at % (size + 1) === 0 ? (on += a * a) : (off += a * a)));
    if (!(off > 1e-30 * on)) break; // also where they are not finite
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const a = A[p * size + q];
        if (a === 0) continue;
        const half = (A[q * size + q] - A[p * size + p]) / (2 * a);
        const tangent = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.hypot(half, 1));
        rotate(A, p, q, size, tangent);
        rotate(A, p * size, q * size, 1, tangent);
        rotate(V, p * size, q * size, 1, tangent);
      }
    }
  }
  const order = [...Array(size).keys()].sort((a, b) => A[b * size + b] - A[a * size + a]);
  const vectors = new Float64Array(size * size);
  order.forEach((k, at) => vectors.set(V.subarray(k * size, k * size + size), at * size));
  return { values: Float64Array.from(order, (k) => A[k * size + k]), vectors };
}

/**
 * The axes along which features are longest: as rows, the eigenvectors of `W W^T` by falling eigenvalue; and
 * the share of each in the sum of squared lengths. An axis points to the side of its largest component or,
 * so that a moving picture does not flip, to that of the same axis `before`.
 * @param {Weights} model @param {Float64Array} [before]
 */
export function principalAxes({ n, m, W }, before) {
  const { values, vectors: axes } = eigenOf(outerProducts(n, m, W, [...Array(n).keys()]), m);
  for (let a = 0; a < m; a++) {
    const axis = axes.subarray(a * m, a * m + m);
    const side = before
      ? axis.reduce((sum, x, k) => sum + x * before[a * m + k], 0)
      : axis.reduce((most, x) => (Math.abs(x) > Math.abs(most) + 1e-9 ? x : most), 0);
    if (side < 0) axis.forEach((x, k) => (axis[k] = -x));
  }
  const all = values.reduce((a, b) => a + b, 0);
  return { axes, values, share: values.map((value) => (all > 0 ? value / all : 0)) };
}

/**
 * The positions of the features along the first d axes: n x d.
 * @param {Weights} model @param {Float64Array} axes @param {number} d
 */
export function project({ n, m, W }, axes, d) {
  const position = new Float64Array(n * d);
  for (let a = 0; a < Math.min(d, m); a++) {
    for (let k = 0; k < m; k++) {
      for (let i = 0; i < n; i++) position[i * d + a] += axes[a * m + k] * W[k * n + i];
    }
  }
  return position;
}

/**
 * The positions, n x 2, of the features of a model with 2 hidden dimensions: turned so that feature 0 points
 * up, and flipped so that the next lies to its right.
 * @param {Weights} model
 */
export function upright({ n, W }) {
  const x = W[0], y = W[n], length = Math.hypot(x, y) || 1;
  const across = W.subarray(0, n).map((w, i) => (y * w - x * W[n + i]) / length);
  const up = W.subarray(0, n).map((w, i) => (x * w + y * W[n + i]) / length);
  const beside = across.find((w, i) => i > 0 && Math.abs(w) > 0.1) ?? 1;
  return new Float64Array(2 * n).map((_, at) => (at % 2 ? up[at >> 1] : Math.sign(beside) * across[at >> 1]));
}

/**
 * The polytopes at whose corners the features of a model point: the connected parts of a graph, in which
 * features longer than `represented` are linked where their cosine is beyond `link` in size, each with the
 * name of the polytope whose cosines are nearest if they are within `error`.
 * @param {Weights} model @param {{represented?: number, link?: number, error?: number}} [settings]
 * @returns {Polytope[]}
 */
export function polytopes(model, { represented = 0.5, link = 0.15, error = 0.15 } = {}) {
  const { n, m } = model, length = norms(model), unit = directionsOf(model), cosine = cosines(model);
  const kept = [...Array(n).keys()].filter((i) => length[i] > represented && length[i] < Infinity);
  return connectedParts(kept, (i, j) => Math.abs(cosine[i * n + j]) > link).map((features) => {
    if (features.length === 1) return { name: "dedicated", features, rank: 1, error: 0 };
    const k = features.length, own = features.flatMap((i) => features.map((j) => cosine[i * n + j]));
    const between = Float64Array.from(own), found = nearestPolytope(between, k);
    const { values } = k <= m ? eigenOf(between, k) : eigenOf(outerProducts(n, m, unit, features), m);
    const rank = values.filter((value) => value > 0.2 ** 2 * values[0]).length;
    if (found.error > error) return { name: "unnamed", features, rank, error: NaN };
    return { name: found.name, features: found.order.map((at) => features[at]), rank, error: found.error };
  });
}

/**
 * What a model stores in one phrase, the largest parts first: "pentagon", "2 digons + 1 dedicated".
 * @param {Pick<Polytope, "name" | "features">[]} found
 */
export function nameOf(found) {
  const sizes = /** @type {Map<string, number[]>} */ (new Map());
  for (const { name, features } of found) sizes.set(name, [...(sizes.get(name) ?? []), features.length]);
  const kinds = [...sizes].sort(([, a], [, b]) => Math.max(...b) - Math.max(...a));
  const phrases = kinds.map(([name, { length: count, 0: size }]) => {
    if (name === "dedicated") return `${count} dedicated`;
    if (name === "unnamed") return count === 1 ? `irregular group of ${size}` : `${count} irregular groups`;
    if (count === 1) return name;
    if (name.endsWith("hedron")) return `${count} ${name.slice(0, -2)}a`;
    return `${count} ${name}${name.endsWith("x") ? "es" : "s"}`;
  });
  return phrases.join(" + ") || "nothing stored";
}

/**
 * Where a number changes by more than `size` while training becomes at most `factor` times as long: the
 * indices of two steps, between which nine tenths of the change take place. Of jumps that overlap, only the
 * largest counts.
 * @param {ArrayLike<number>} values @param {ArrayLike<number>} steps positive and rising @param {number} size
 * @returns {[number, number][]}
 */
export function jumps(values, steps, size, factor = 1.25) {
  /** @typedef {{a: number, b: number, change: number, width: number}} Change from place a to place b */
  /** The best of the changes within these places; of equals, the first.
   * @param {number} low @param {number} high @param {(one: Change, best: Change) => boolean} better */
  const bestOf = (low, high, better) => {
    let best = { a: 0, b: 0, change: size, width: Infinity };
    for (let a = low; a < high; a++) {
      for (let b = a + 1; b <= high && steps[b] <= steps[a] * factor; b++) {
        const one = { a, b, change: Math.abs(values[b] - values[a]), width: b - a };
        if (one.change < Infinity && better(one, best)) best = one;
      }
    }
    return best;
  };
  /** @param {number} low @param {number} high @returns {[number, number][]} */
  const within = (low, high) => {
    const { a, b, change } = bestOf(low, high, (one, best) =>
      one.change > best.change || (one.change === best.change && one.width < best.width));
    if (!(change > size)) return [];
    const most = bestOf(a, b, (one, best) => one.change >= 0.9 * change
      && (one.width < best.width || (one.width === best.width && one.change > best.change)));
    return [...within(low, a), [most.a, most.b], ...within(b, high)]; // others do not overlap it
  };
  return within(0, values.length - 1);
}

/**
 * Where a loss falls after it stood still: the `jumps` of its logarithm, smoothed, that follow upon a time, half as
 * long as all before, in which it fell by less than a third as much. Overlapping ones are one.
 * @param {{loss: number[], step: number[]}} curve @returns {[number, number][]}
 */
export function drops({ loss, step }) {
  const logs = loss.map((_, at) => median(loss.slice(Math.max(0, at - 4), at + 5).map(Math.log)));
  const steps = step.map((at) => at + 1);
  /** @type {[number, number][]} */
  const found = [];
  for (const [a, b] of jumps(logs, steps, 0.05)) {
    const last = found.at(-1);
    if (last && steps[a] <= 1.25 * steps[last[1]]) last[1] = b;
    else found.push([a, b]);
  }
  return found.filter(([a, b]) => {
    const before = steps.findIndex((at) => at >= steps[a] / 1.5);
    return steps[a] > 10 && logs[a] - logs[b] > 0.05 && logs[a] - logs[b] > 3 * Math.abs(logs[before] - logs[a]);
  });
}

/** @param {number[]} numbers */
function median(numbers) {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1];
}

/**
 * Where the feature graph has its points, n x 2 and up is positive, and its links: between features whose
 * cosine is beyond `link` in size, as wide as `|W_i . W_j|`. Each part is by itself, with its features at
 * its polytope's corners; the parts are in rows, the largest first. Features in no part stay at 0.
 * @param {Weights} model @param {Polytope[]} found
 */
export function graphLayout(model, found, link = 0.2) {
  const { n } = model, position = new Float64Array(2 * n), cosine = cosines(model), product = gram(model);
  const parts = [...found].sort((a, b) => b.features.length - a.features.length);
  const sizes = parts.map(({ features }) => 0.9 * Math.sqrt(features.length) + 0.5);
  const wide = Math.max(1.25 * Math.hypot(...sizes), ...sizes);
  let x = 0, y = 0, high = 0;
  parts.forEach(({ name, features }, at) => {
    const size = sizes[at], near = features.map((i) => features.map((j) => Math.abs(cosine[i * n + j])));
    if (x + size > wide + 1e-9) [x, y, high] = [0, y - high, 0];
    partLayout(name, near, link).forEach(([right, up], place) => {
      position[2 * features[place]] = right * (size / 2 - 0.35) + x + size / 2;
      position[2 * features[place] + 1] = up * (size / 2 - 0.35) + y - size / 2;
    });
    [x, high] = [x + size, Math.max(high, size)];
  });
  const shown = parts.flatMap(({ features }) => features).sort((a, b) => a - b);
  const pairs = shown.flatMap((i) => shown.filter((j) => i < j).map((j) => ({ i, j, at: i * n + j })));
  const links = pairs.filter(({ at }) => Math.abs(cosine[at]) > link)
    .map(({ i, j, at }) => ({ i, j, width: Math.abs(product[at]) }));
  return { position, links };
}

/**
 * Where the features of a part are, within a circle of radius 1.
 * @param {string} name @param {number[][]} near cosines, without their signs @param {number} link
 */
function partLayout(name, near, link) {
  const k = near.length, corners = CORNERS[name];
  if (k === 1) return [[0, 0]];
  const at = (/** @type {number} */ d, /** @type {number} */ i) => corners[d]?.[i] ?? 0;
  if (corners) return near.map((_, i) => [at(0, i) + 0.25 * at(2, i), at(1, i) + 0.25 * at(2, i)]);
  const [across, up] = polygonCorners(k), ring = across.map((x, i) => [x, up[i]]);
  return k > 6 ? sprung(ring, near.map((row) => row.map((cosine) => (cosine > link ? cosine : 0)))) : ring;
}

/**
 * Points moved by springs: those that are linked attract each other, all repel each other.
 * @param {number[][]} position @param {number[][]} pull
 */
function sprung(position, pull) {
  const k = position.length;
  for (let round = 0; round < 80; round++) {
    const step = 0.1 * 0.05 ** (round / 79);
    const moved = position.map(([x, y], i) => {
      let right = 0, up = 0;
      for (let j = 0; j < k; j++) {
        if (j === i) continue;
        const dx = x - position[j][0], dy = y - position[j][1], square = dx * dx + dy * dy;
        const force = 1 / (k * square) - pull[i][j] * Math.sqrt(square);
        right += dx * force;
        up += dy * force;
      }
      const size = Math.hypot(right, up) + 1e-9;
      return [x + (step * right) / size, y + (step * up) / size];
    });
    const middle = [0, 1].map((d) => moved.reduce((sum, at) => sum + at[d], 0) / k);
    position = moved.map((at) => at.map((x, d) => x - middle[d]));
  }
  const reach = Math.max(...position.map(([x, y]) => Math.hypot(x, y)));
  return position.map((at) => at.map((x) => x / reach));
}
