// The figures' colors: superpose/plot.py

/** Colors of things without an order, which all eyes can tell apart. */
export const SETS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/** Colors of polytopes, in the order in which they win as features grow sparser.
 * @type {Record<string, string>} */
export const POLYTOPE_COLORS = {
  dedicated: "#000000",
  "4-simplex": "#7b5ea7",
  tetrahedron: "#cc79a7",
  triangle: "#e69f00",
  digon: "#0072b2",
  pentagon: "#d55e00",
  "square antiprism": "#009e73",
  hexagon: "#56b4e9",
  unnamed: "#bdbdb8",
};

/** @param {string} name */
export function polytopeColor(name) {
  return POLYTOPE_COLORS[name] ?? POLYTOPE_COLORS.unnamed;
}

const GRAY = "#dcdcd8", BLUE = "#2a5fb0", RED = "#d1422f";

/** Red, green and blue of a color, 0 to 255. @param {string} hex */
export function rgbOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** @param {number[]} rgb */
function hexOf(rgb) {
  return `#${rgb.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
}

/** 256 colors from 0 to 1, straight from stop to stop, as matplotlib has them. @param {string[]} stops */
function tableOf(stops) {
  const rgb = stops.map(rgbOf);
  return Array.from({ length: 256 }, (_, index) => {
    const place = (index / 255) * (stops.length - 1), at = Math.min(Math.floor(place), stops.length - 2);
    return hexOf(rgb[at].map((low, part) => low + (place - at) * (rgb[at + 1][part] - low)));
  });
}

/** The place of a number from 0 to 1 in a table; beyond, and for NaN, an end. @param {number} x */
function tableIndex(x) {
  return x > 0 ? Math.min(255, Math.floor(256 * x)) : 0;
}

const IMPORTANCE = tableOf([
  "#3b528b", "#365d8d", "#31688e", "#2c728e", "#287c8e", "#24868e", "#20908d", "#1e9a8a", "#20a486",
  "#28af80", "#36b878", "#49c16e", "#5ec962", "#77d153", "#92d742", "#aedc30", "#cbe11e",
]);
const SUPERPOSITION = tableOf([
  "#0f0a2d", "#220c4c", "#380964", "#4e0c6c", "#62146f", "#771c6e", "#8b236a", "#a02a63", "#b33359",
  "#c63d4d", "#d74b3f", "#e55b30", "#f06f21", "#f8840f", "#fc9c04", "#fcb417", "#f8cd37",
]);
const WEIGHTS = tableOf([BLUE, "#f2f1ee", RED]);

/** Teal for the least important feature, yellow-green for the most. @param {number} share of the largest */
export function importanceColor(share) {
  return IMPORTANCE[tableIndex(share)];
}

/** Black for a dedicated dimension, yellow for one that is shared with as much again.
 * @param {number} shared */
export function superpositionColor(shared) {
  return SUPERPOSITION[tableIndex(shared)];
}

/** Blue at -1, light gray at 0 and for NaN, red at +1. @param {number} weight */
export function weightColor(weight) {
  return WEIGHTS[tableIndex(Number.isNaN(weight) ? 0.5 : (weight + 1) / 2)];
}

/**
 * The paper's two-dimensional color map: from blue (superposition 0) to red (1 or more), and from gray
 * (norm 0) to full color (norm 1 or more).
 * @param {number} norm @param {number} superposition
 */
export function phaseColor(norm, superposition) {
  const there = Math.min(1, Math.max(0, norm)), shared = Math.min(1, Math.max(0, superposition));
  const blue = rgbOf(BLUE), red = rgbOf(RED);
  return hexOf(rgbOf(GRAY).map((gray, at) =>
    (1 - there) * gray + there * ((1 - shared) * blue[at] + shared * red[at])));
}

/** Black or white, whichever is read better on a color. @param {string} hex */
export function inkOn(hex) {
  const [red, green, blue] = rgbOf(hex).map((part) => (part / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000000" : "#ffffff";
}
