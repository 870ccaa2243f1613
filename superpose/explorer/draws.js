// The library's random bits, the same here as in Python: superpose/draws.py.
//
// A key is two 32-bit words. A seed of the page is a member of the ensemble of key 0, so that seed 3 is one and
// the same model in the page, in Python, alone and among others.

/** @typedef {[number, number]} Key Two words of 32 bits. */

/** The key of a whole number, as `jax.random.key`. @param {number} number @returns {Key} */
export function keyOf(number) {
  return [Math.floor(number / 2 ** 32) >>> 0, number >>> 0];
}

const ROTATIONS = [[13, 15, 26, 6], [17, 29, 16, 24]];

/**
 * The key for `data`, as `jax.random.fold_in`: Threefry-2x32 with 20 rounds. Salmon et al. (2011).
 * @param {Key} key @param {number} data a whole number below 2^32 @returns {Key}
 */
export function foldIn(key, data) {
  const keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bda];
  let x = keys[0] | 0, y = (data + keys[1]) | 0;
  for (let group = 0; group < 5; group++) {
    for (const by of ROTATIONS[group % 2]) {
      x = (x + y) | 0;
      y = ((y << by) | (y >>> (32 - by))) ^ x;
    }
    x = (x + keys[(group + 1) % 3]) | 0;
    y = (y + keys[(group + 2) % 3] + group + 1) | 0;
  }
  return [x >>> 0, y >>> 0];
}

/** The key for one purpose. @param {Key} key @param {string} purpose @returns {Key} */
export function stream(key, purpose) {
  let sum = -1; // CRC-32 of the name
  for (const letter of purpose) {
    sum ^= letter.charCodeAt(0);
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return foldIn(key, ~sum >>> 0);
}

/** The own key of a member of the ensemble of key 0. @param {number} member @returns {Key} */
export function memberKey(member) {
  return foldIn(keyOf(0), member);
}

/** @param {number} word */
function long(word) {
  word = Math.imul(word ^ (word >>> 17), 0xed5ad4bb);
  word = Math.imul(word ^ (word >>> 11), 0xac4c1b51);
  word = Math.imul(word ^ (word >>> 15), 0x31848bab);
  return word ^ (word >>> 14);
}

/**
 * Random words: a hash of the key and of each word's position.
 * @param {Key} key @param {Uint32Array} words filled
 */
export function bitsInto(key, words) {
  const second = long(key[1]), first = long(key[0] ^ second);
  for (let at = 0; at < words.length; at++) {
    let word = at ^ first;
    word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0xd35a2d97);
    word ^= word >>> 15;
    words[at] = long((word + Math.imul(at, 0x9e3779b9)) ^ second);
  }
}

/** A word as a float32 in (0, 1]. @param {number} word */
export function unit(word) {
  return Math.fround(Math.fround(word) + 0.5) * 2 ** -32;
}

// Giles (2010), "Approximating the erfinv function": for w < 5, and beyond.
const NEAR = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
  0.246640727, 1.50140941,
];
const FAR = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
  1.00167406, 2.83297682,
];

/**
 * Normal with mean 0 and standard deviation 1: float32 precision, at most 5.4 in size.
 * @param {Key} key @param {number} count @returns {Float64Array}
 */
export function normal(key, count) {
  const words = new Uint32Array(count), most = 1 - 2 ** -24;
  bitsInto(key, words);
  return Float64Array.from(words, (word) => {
    const x = Math.min(Math.max(Math.fround(Math.fround(word | 0) + 0.5) * 2 ** -31, -most), most);
    let w = -Math.log1p(-Math.fround(x * x));
    const near = w < 5;
    w = near ? w - 2.5 : Math.sqrt(w) - 3;
    return Math.fround(Math.SQRT2 * x * (near ? NEAR : FAR).reduce((sum, c) => sum * w + c, 0));
  });
}
