// Regular arrangements of directions, and which polytope an arrangement is: superpose/polytopes.py

/** A row for each dimension; corners are columns, as features are in W. @typedef {number[][]} Corners */

/** @param {number} k @returns {Corners} */
export function polygonCorners(k) {
  const turn = Array.from({ length: k }, (_, i) => (2 * Math.PI * i) / k);
  return [turn.map(Math.cos), turn.map(Math.sin)];
}

/** `d + 1` corners in d dimensions. @param {number} d @returns {Corners} */
export function simplexCorners(d) {
  const features = [...Array(d + 1).keys()];
  const row = (/** @type {number} */ k) =>
    features.map((i) => (i < k ? 1 : i === k ? -k : 0) / Math.sqrt(k * (k + 1)));
  return atLength1(features.slice(1).map(row));
}

/** Two squares at heights h and -h, the second turned. @param {number} h @returns {Corners} */
function antiprismCorners(h) {
  const turn = [0, 1, 2, 3, 0.5, 1.5, 2.5, 3.5].map((i) => (i * Math.PI) / 2), flat = Math.sqrt(1 - h * h);
  return [
    turn.map((a) => flat * Math.cos(a)),
    turn.map((a) => flat * Math.sin(a)),
    turn.map((_, i) => (i < 4 ? h : -h)),
  ];
}

/** @returns {Corners} */
function cubeCorners() {
  return atLength1([2, 4, 1].map((bit) => Array.from({ length: 8 }, (_, i) => (i & bit ? 1 : -1))));
}

/** @returns {Corners} */
function icosahedronCorners() {
  const golden = (1 + Math.sqrt(5)) / 2;
  const quarter = [[0, 0, 0, 0], [-1, -1, 1, 1], [-golden, golden, -golden, golden]];
  return atLength1([0, 1, 2].map((d) => [0, 1, 2].flatMap((turn) => quarter[(d - turn + 3) % 3])));
}

/** @param {Corners} corners @returns {Corners} */
function atLength1(corners) {
  const length = corners[0].map((_, i) => Math.hypot(...corners.map((row) => row[i])));
  return corners.map((row) => row.map((x, i) => x / length[i]));
}

/** Polytopes that are not tegum products, by name. @type {Record<string, Corners>} */
export const CORNERS = {
  digon: simplexCorners(1),
  triangle: simplexCorners(2),
  tetrahedron: simplexCorners(3),
  "4-simplex": simplexCorners(4),
  pentagon: polygonCorners(5),
  hexagon: polygonCorners(6),
  cube: cubeCorners(),
  "square antiprism": antiprismCorners(1 / Math.sqrt(3)),
  icosahedron: icosahedronCorners(),
};

/** Each part in dimensions of its own. @param {string[]} names @returns {Corners} */
function tegumCorners(...names) {
  const parts = names.map((name) => CORNERS[name]);
  return parts.flatMap((part, own) =>
    part.map((row) => parts.flatMap((other, at) => (at === own ? row : other[0].map(() => 0)))));
}

/** All that have a name, as cosines. */
const SHAPES = Object.entries({
  ...CORNERS,
  square: tegumCorners("digon", "digon"),
  octahedron: tegumCorners("digon", "digon", "digon"),
  "triangular bipyramid": tegumCorners("triangle", "digon"),
  "pentagonal bipyramid": tegumCorners("pentagon", "digon"),
}).map(([name, corners]) => ({ name, k: corners[0].length, gram: gramOfCorners(corners) }));
const [FLAT, HIGH] = [0, 1].map((height) => gramOfCorners(antiprismCorners(height)));

/** @param {Corners} corners */
export function gramOfCorners(corners) {
  const product = (/** @type {number} */ i, /** @type {number} */ j) =>
    corners.reduce((sum, row) => sum + row[i] * row[j], 0);
  return Float64Array.from(corners[0].flatMap((_, i) => corners[0].map((_, j) => product(i, j))));
}

/**
 * The connected components of a graph.
 * @param {number[]} features rising @param {(i: number, j: number) => boolean} linked
 */
export function connectedParts(features, linked) {
  const left = new Set(features), parts = [];
  for (const first of features) {
    if (!left.delete(first)) continue;
    const part = [first];
    for (const i of part) for (const j of left) if (linked(i, j) && left.delete(j)) part.push(j);
    parts.push(part.sort((a, b) => a - b));
  }
  return parts;
}

/**
 * The polytope with k corners whose cosines are most like these: its name ("" if none has k corners), the
 * root mean squared difference, and the feature at each of its corners.
 * @param {Float64Array} cosine k x k @param {number} k
 */
export function nearestPolytope(cosine, k) {
  let best = { name: "", error: Infinity, order: [...Array(k).keys()] };
  for (const shape of SHAPES.filter((shape) => shape.k === k)) {
    let found = placedAt(cosine, shape.gram, k);
    if (shape.name === "square antiprism") found = placedAt(cosine, fittedAntiprism(cosine, found.order), k);
    if (found.error < best.error) best = { name: shape.name, ...found };
  }
  return best;
}

/**
 * The order of features that makes their cosines most like `gram`: corner by corner, from the 256 that fit
 * best so far.
 * @param {Float64Array} cosine @param {Float64Array} gram @param {number} k
 */
function placedAt(cosine, gram, k) {
  let orders = [{ order: /** @type {number[]} */ ([]), cost: 0 }];
  for (let corner = 0; corner < k; corner++) {
    const longer = [];
    for (const { order, cost } of orders) {
      for (let feature = 0; feature < k; feature++) {
        if (order.includes(feature)) continue;
        let more = 0;
        order.forEach((other, at) => (more += (cosine[other * k + feature] - gram[corner * k + at]) ** 2));
        longer.push({ order, feature, cost: cost + more });
      }
    }
    longer.sort((a, b) => a.cost - b.cost); // stable, as the library's
    orders = longer.slice(0, 256).map(({ order, feature, cost }) => ({ order: [...order, feature], cost }));
  }
  return { order: orders[0].order, error: Math.sqrt((2 * orders[0].cost) / (k * (k - 1))) };
}

/**
 * The cosines of the antiprism whose height fits best: they are linear in its square.
 * @param {Float64Array} cosine @param {number[]} order
 */
function fittedAntiprism(cosine, order) {
  let along = 0, all = 0;
  FLAT.forEach((flat, at) => {
    const slope = HIGH[at] - flat;
    along += (cosine[order[at >> 3] * 8 + order[at & 7]] - flat) * slope;
    all += slope ** 2;
  });
  const square = Math.min(0.75 ** 2, Math.max(0.4 ** 2, along / all));
  return FLAT.map((flat, at) => flat + square * (HIGH[at] - flat));
}
