// What the world contains: which features are active together, how often, and their values. superpose/features

import { bitsInto, stream, unit } from "./draws.js";

/** @import { Key } from "./draws.js" */
/** @typedef {"uniform" | "signed" | "binary"} Values on [0, 1], on [-1, 1], or 1 */
/** @typedef {"independent" | "correlated" | "anticorrelated"} Kind each by itself, all of a set, one of a set */
/**
 * A world as it is asked for; a number stands for as many as there are.
 * @typedef {{density: number | ArrayLike<number>, importance?: number | ArrayLike<number>, values?: Values,
 *   kind?: Kind, sizes?: number[]}} WorldSpec
 */
/**
 * A world, checked and complete: `density` is the chance of each set, `importance` of each feature. Independent
 * features are sets of one.
 * @typedef {{n: number, density: Float64Array, importance: Float64Array, values: Values, kind: Kind,
 *   sizes: number[]}} World
 */
/** The sets of features that can be active: bit i of a mask says whether feature i is.
 * @typedef {{mask: Int32Array, chance: Float64Array}} Supports */

/** Laws of values: `low + width u`, with u uniform. @type {Record<Values, {low: number, width: number}>} */
export const LAWS = { uniform: { low: 0, width: 1 }, signed: { low: -1, width: 2 }, binary: { low: 1, width: 0 } };

/**
 * The world of n features; throws an Error that says what is wrong with the numbers.
 * @param {WorldSpec} spec @param {number} n @returns {World}
 */
export function worldOf(spec, n) {
  const { values = "uniform", kind = "independent" } = spec;
  const sizes = kind === "independent" ? Array(n).fill(1) : spec.sizes ?? setsOf(n, 2);
  if (!Object.hasOwn(LAWS, values)) throw new Error(`values must be uniform, signed or binary, not ${values}`);
  if (!["independent", "correlated", "anticorrelated"].includes(kind)) {
    throw new Error(`features are independent, correlated or anticorrelated, not ${kind}`);
  }
  if (sizes.some((size) => !Number.isInteger(size) || size < 1) || sizes.reduce((a, b) => a + b, 0) !== n) {
    throw new Error(`the sizes of the sets must be whole numbers and add up to ${n}`);
  }
  const density = filled(spec.density, sizes.length, "density");
  const importance = filled(spec.importance ?? 1, n, "importance");
  if (!density.every((p) => p >= 0 && p <= 1)) throw new Error("a density must be from 0 to 1");
  if (!importance.every((i) => i >= 0 && i < Infinity))
    throw new Error("an importance must be finite and not negative");
  return { n, density, importance, values, kind, sizes };
}

/** @param {number | ArrayLike<number>} value @param {number} count @param {string} name */
function filled(value, count, name) {
  if (typeof value === "number") return new Float64Array(count).fill(value);
  if (value?.length !== count) throw new Error(`${name} must be a number or ${count} numbers`);
  return Float64Array.from(value);
}

/** n features in sets of a size; the last may be smaller. @param {number} n @param {number} size */
export function setsOf(n, size) {
  return Array.from({ length: Math.ceil(n / size) }, (_, set) => Math.min(size, n - set * size));
}

/** The set of each feature. @param {World} world */
export function setOf(world) {
  return world.sizes.flatMap((size, set) => Array(size).fill(set));
}

/** The density of each feature. @param {World} world */
export function densities(world) {
  const shared = world.kind === "anticorrelated";
  return Float64Array.from(setOf(world), (set) => world.density[set] / (shared ? world.sizes[set] : 1));
}

/** Mean and variance of each feature. @param {World} world */
export function moments(world) {
  const { low, width } = LAWS[world.values], mean = low + width / 2, square = mean ** 2 + width ** 2 / 12;
  const density = densities(world);
  return { mean: density.map((p) => p * mean), variance: density.map((p) => p * square - (p * mean) ** 2) };
}

/**
 * Samples, feature by feature: the same as `sample(key, batch)` of the library's law.
 * @param {World} world @param {Key} key @param {number} batch @returns {Float64Array} of n * batch numbers
 */
export function sample(world, key, batch) {
  const { n, density, sizes, kind } = world, { low, width } = LAWS[world.values];
  const x = new Float64Array(n * batch);
  const chance = density.map(Math.fround), inverse = chance.map((p) => Math.fround(1 / p)); // XLA divides so
  /** @param {number} v */
  const value = (v) => (width === 0 ? 1 : Math.fround(low + Math.fround(width * v)));
  if (kind === "independent") {
    const words = new Uint32Array(n * batch);
    bitsInto(key, words);
    for (let at = 0, i = 0; i < n; i++) {
      for (let s = 0; s < batch; s++, at++) {
        const u = unit(words[at]);
        if (u <= chance[i]) x[at] = value(Math.min(Math.fround(u * inverse[i]), 1));
      }
    }
    return x;
  }
  const together = kind === "correlated";
  const active = new Uint32Array(sizes.length * batch), chosen = new Uint32Array(together ? 0 : active.length);
  const drawn = new Uint32Array((together ? n : sizes.length) * batch);
  bitsInto(stream(key, "sets"), active);
  bitsInto(stream(key, "values"), drawn);
  bitsInto(stream(key, "members"), chosen);
  for (let set = 0, first = 0; set < sizes.length; first += sizes[set], set++) {
    for (let s = 0; s < batch; s++) {
      const at = set * batch + s;
      if (unit(active[at]) > chance[set]) continue;
      if (!together) x[(first + (chosen[at] % sizes[set])) * batch + s] = value(unit(drawn[at]));
      else for (let i = first; i < first + sizes[set]; i++) x[i * batch + s] = value(unit(drawn[i * batch + s]));
    }
  }
  return x;
}

/** How many supports there are. @param {World} world */
export function supportCount(world) {
  return world.sizes.reduce((count, size) => count * (1 + (world.kind === "anticorrelated" ? size : 1)), 1);
}

/** The supports that have a chance, for up to 30 features. @param {World} world @returns {Supports} */
export function supports(world) {
  let mask = [0], chance = [1];
  for (let set = 0, first = 0; set < world.sizes.length; first += world.sizes[set], set++) {
    const p = world.density[set], size = world.sizes[set];
    const all = ((1 << size) - 1) << first;
    const ways = world.kind === "anticorrelated" ? Array.from({ length: size }, (_, i) => 1 << (first + i)) : [all];
    const masks = mask.slice(), chances = chance.map((c) => c * (1 - p));
    for (const way of ways) {
      masks.push(...mask.map((before) => before | way));
      chances.push(...chance.map((c) => (c * p) / ways.length));
    }
    [mask, chance] = [masks, chances];
  }
  const kept = chance.flatMap((c, at) => (c > 0 ? [at] : []));
  return { mask: Int32Array.from(kept, (at) => mask[at]), chance: Float64Array.from(kept, (at) => chance[at]) };
}
