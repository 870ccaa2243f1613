// The phase diagram: its cells, in the order in which they are solved, and solutions that are followed from cell to
// cell.
// superpose/papers/elhage2022/phase_diagram.py

import { memberKey, normal, stream } from "./draws.js";
import { minimize } from "./engine.js";
import { phaseWorld } from "./tasks.js";
import { PROTOTYPES } from "./theory.js";

/** @import { Model } from "./exact.js" */
/** @import { Cell } from "./tasks.js" */
/** Features, hidden dimensions, and starts in each cell. @typedef {{n: number, m: number, members: number}} Diagram */

/** @type {Record<"2-in-1" | "3-in-2", Diagram>} */
export const DIAGRAMS = { "2-in-1": { n: 2, m: 1, members: 10 }, "3-in-2": { n: 3, m: 2, members: 20 } };
/** Cells along each axis: the row is the density, the lowest first, the column the importance of the extra feature. */
export const SIDE = 50;

/** @param {number} index row * SIDE + column @returns {Cell} */
export function cellOf(index) {
  const row = Math.floor(index / SIDE), column = index % SIDE;
  return { density: 10 ** ((2 * row) / (SIDE - 1) - 2), importance: 10 ** ((2 * column) / (SIDE - 1) - 1) };
}

/** Where a density or an importance is along its axis, in cells; whole numbers are the middles of cells.
 * @param {Cell} cell */
export function cellPlace({ density, importance }) {
  return { row: ((Math.log10(density) + 2) * (SIDE - 1)) / 2, column: ((Math.log10(importance) + 1) * (SIDE - 1)) / 2 };
}

/** The cells of every `step`th row and column. @param {number} step */
export function lattice(step) {
  const cells = [];
  for (let row = 0; row < SIDE; row += step) {
    for (let column = 0; column < SIDE; column += step) cells.push(row * SIDE + column);
  }
  return cells;
}

/**
 * The cell nearest to this one on the finest lattice where the nearest one `is` there; -1 if it is on none.
 * @param {number} index @param {(index: number) => boolean} is
 */
export function nearestCell(index, is) {
  const row = Math.floor(index / SIDE), column = index % SIDE;
  for (const step of STEPS) {
    const near = [row, column].map((at) => step * Math.min(Math.round(at / step), Math.floor((SIDE - 1) / step)));
    if (is(near[0] * SIDE + near[1])) return near[0] * SIDE + near[1];
  }
  return -1;
}

const STEPS = [1, 2, 4, 8];

/** The cells on the straight way from one to another, without the first. @param {number} from @param {number} to */
export function wayBetween(from, to) {
  const row = Math.floor(from / SIDE), column = from % SIDE,
    up = Math.floor(to / SIDE) - row, right = (to % SIDE) - column;
  const count = Math.max(Math.abs(up), Math.abs(right));
  return Array.from({ length: count }, (_, i) => {
    const share = (i + 1) / count;
    return (row + Math.round(up * share)) * SIDE + column + Math.round(right * share);
  });
}

/**
 * The minimum in a cell next to a solution from another cell. It is moved a little before, so that it can leave a
 * point that has become a saddle.
 * @param {Model} model @param {Cell} cell
 */
export function followed(model, cell) {
  const moves = normal(stream(memberKey(0), "moves of a followed solution"), model.W.length + model.n);
  const W = model.W.map((w, at) => w + 1e-3 * moves[at]), b = model.b.map((c, i) => c + 1e-3 * moves[W.length + i]);
  return minimize({ ...model, W, b }, phaseWorld(cell, model.n));
}

/**
 * The index of the prototype with the nearest `W^T W`, where the first two of three features may swap their parts.
 * @param {Model} model
 */
export function phaseOf({ n, m, W }) {
  const ways = n === 2 ? [[0, 1]] : [[0, 1, 2], [1, 0, 2]];
  const far = PROTOTYPES[n].map((rows) => Math.min(...ways.map((way) => {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let off = 0;
        for (let k = 0; k < m; k++) off += W[k * n + i] * W[k * n + j] - rows[k][way[i]] * rows[k][way[j]];
        sum += off * off;
      }
    }
    return sum;
  })));
  return far.indexOf(Math.min(...far));
}
