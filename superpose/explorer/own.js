// A result of one's own: models on named axes, with the figure and the claims that belong to them. What `_data.py`
// writes.

import { brief, selection, slider, steady } from "./controls.js";
import { h } from "./dom.js";
import { exactLoss, hasExact } from "./exact.js";
import { dimensionality, nameOf, norms, polytopes } from "./measures.js";
import { numbersOf } from "./python.js";
import { worldOf } from "./worlds.js";
import { barsView, gramView } from "./charts.js";
import { directionsView, graphView, spaceView } from "./views.js";

/** @import { App } from "./app.js" */
/** @import { Model } from "./exact.js" */
/** @import { Start } from "./simulation.js" */
/** @import { State } from "./state.js" */
/** @import { Kind, Values, World } from "./worlds.js" */
/**
 * Numbers as text: base64, little-endian, in C order.
 * @typedef {{dtype: "float32" | "float64", shape: number[], data: string}} Packed
 */
/** @typedef {{axes: string[], array: Packed}} Quantity along axes of the group, then perhaps "feature" or "set" */
/** @typedef {{name: string, values: (number | string)[]}} Axis */
/**
 * @typedef {{kind: Kind, sizes: number[], values: Values, density: Quantity, importance: Quantity,
 *   assumed: string[]}} OwnWorld
 */
/**
 * Models of one size, side by side.
 * @typedef {{name: string, axes: Axis[], hidden: number, feature: number, features: string[], W: Packed, b?: Packed,
 *   loss?: Packed, hidden_bias?: Packed, W_out?: Packed, output: string, layer: string, world: OwnWorld | null,
 *   why: string}} Group
 */
/**
 * @typedef {{statement: string, section: string, what: string, expected: string, measured: string, status: string,
 *   instead: string, id: string}} OwnClaim
 */
/**
 * @typedef {{version: number, title: string, experiment: string, summary: string, section: string,
 *   paper: {title: string, authors: string, year: number, link: string} | null, settings: Record<string, any>,
 *   claims: OwnClaim[], notes: string[], figure: string, shown: string, groups: Group[]}} Result
 */
/**
 * One model of a result, and where it was trained.
 * @typedef {{model: Model, loss: number, world: World | null, why: string}} OwnModel
 */
/**
 * @typedef {{result: Result | null, problem: string, start: (at: string[]) => Start | null}} Own
 *   what it says, or why it cannot be read; and what training can go on from
 */

/** What is assumed of a world where the data do not say it. @type {Record<string, string>} */
const ASSUMED = { importance: "importances of 1", features: "independent features", values: "values from 0 to 1" };

/** @type {WeakMap<Packed, Float32Array | Float64Array>} */
const unpackedArrays = new WeakMap();

/** @param {Packed} packed */
function unpacked(packed) {
  let array = unpackedArrays.get(packed);
  if (!array) {
    const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
    array = packed.dtype === "float32" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
    if (array.length !== packed.shape.reduce((a, b) => a * b, 1)) throw new Error("numbers are missing");
    unpackedArrays.set(packed, array);
  }
  return array;
}

/** What a page brings with it. @param {string} text JSON, or nothing @returns {Own} */
export function readOwn(text) {
  /** @type {Result | null} */
  let result = null;
  let problem = "";
  try {
    result = text.trim() ? JSON.parse(text) : null;
    if (result && result.version !== 1) throw new Error("it was written by a newer version");
    for (const group of result?.groups ?? []) modelOfGroup(group, group.axes.map(() => 0));
  } catch (error) {
    problem = `The result in this page cannot be read: ${error instanceof Error ? error.message : error}. `
      + "Write the page again with superpose view.";
    result = null;
  }
  return {
    result,
    problem,
    start(at) {
      if (!result?.groups.length) return null;
      const group = groupAt(result, at), { model, world } = modelOfGroup(group, placeInGroup(group, at));
      return world && trainable(model) ? { model, world } : null;
    },
  };
}

/** The index that a state has on an axis. @param {string[]} at @param {string} name */
function indexOn(at, name) {
  const found = at.find((each) => each.slice(0, each.lastIndexOf(":")) === name);
  return found === undefined ? undefined : Number(found.slice(name.length + 1));
}

/** The group that is open. @param {Result} result @param {string[]} at */
function groupAt(result, at) {
  return result.groups[Math.min(indexOn(at, "group") ?? 0, result.groups.length - 1)];
}

/**
 * Where on each axis of a group; without a word of it, where the loss is least.
 * @param {Group} group @param {string[]} at
 */
function placeInGroup(group, at) {
  const said = group.axes.map(({ name, values }) => {
    return Math.min(indexOn(at, name) ?? -1, values.length - 1);
  });
  if (said.every((index) => index >= 0)) return said;
  let best = said.map((index) => Math.max(index, 0)), least = Infinity;
  const losses = group.loss && unpacked(group.loss);
  for (let at = 0; losses && at < losses.length; at++) {
    if (!(losses[at] < least)) continue;
    const place = placesAt(group, at);
    if (place.every((index, axis) => said[axis] < 0 || said[axis] === index)) [best, least] = [place, losses[at]];
  }
  return best;
}

/** @param {Group} group @param {number} at a model's number in C order */
function placesAt(group, at) {
  const place = Array(group.axes.length).fill(0);
  for (let axis = place.length - 1; axis >= 0; axis--) {
    place[axis] = at % group.axes[axis].values.length;
    at = Math.floor(at / group.axes[axis].values.length);
  }
  return place;
}

/** @param {Group} group @param {number[]} place @returns {OwnModel} */
function modelOfGroup(group, place) {
  const { hidden: m, feature: n, axes } = group;
  const at = place.reduce((number, index, axis) => number * axes[axis].values.length + index, 0);
  const part = (/** @type {Packed} */ packed, /** @type {number} */ size) =>
    Float64Array.from(unpacked(packed).subarray(at * size, (at + 1) * size));
  const output = group.output === "linear" ? "linear" : "relu", layer = group.layer === "relu" ? "relu" : "linear";
  const model = /** @type {Model} */ ({
    n, m, W: part(group.W, m * n), b: group.b ? part(group.b, n) : new Float64Array(n), output, layer,
  });
  let world = null;
  let why = group.why;
  if (group.world) {
    const { kind, sizes, values, density, importance } = group.world;
    const quantity = (/** @type {Quantity} */ { axes: along, array }) => {
      const own = array.shape.slice(along.length - (["feature", "set"].includes(along.at(-1) ?? "") ? 1 : 0)),
        size = own.reduce((a, b) => a * b, 1);
      const numbers = unpacked(array);
      let start = 0; // an axis of features or sets, which is the last, is taken whole
      for (const [dim, name] of along.entries()) {
        const axis = axes.findIndex((each) => each.name === name);
        start = start * array.shape[dim] + (axis >= 0 ? place[axis] : 0);
      }
      const found = Array.from(numbers.subarray(start, start + size));
      return found.length === 1 ? found[0] : found;
    };
    try {
      world = worldOf({
        density: quantity(density), importance: quantity(importance), values, kind,
        sizes: kind === "independent" ? undefined : sizes,
      }, n);
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
  }
  return { model, loss: group.loss ? unpacked(group.loss)[at] : NaN, world, why };
}

/** @param {Model} model */
function isFiniteModel({ W, b }) {
  return W.every(Number.isFinite) && b.every(Number.isFinite);
}

/** Whether a model is one that the playground takes. @param {Model} model */
function trainable(model) {
  return isFiniteModel(model) && model.n <= 100 && model.m <= 30;
}

/** @param {App} app @param {Own} own */
export function ownPart(app, own) {
  const element = h("div", { class: "own" });
  const { result } = own;
  if (!result) return { element, show() {}, hide() {}, update() {}, shared: () => null };

  const views = { flat: directionsView(), graph: graphView(), space: spaceView({ onTurn: ({ azimuth, elevation }) => {
    app.set({ azimuth: Math.round(azimuth), elevation: Math.round(elevation) }, { quiet: true });
    update(app.state);
  } }) };
  const figure = result.figure.startsWith("data:image/")
    ? h("figure", {}, h("img", { src: result.figure, alt: `The figure of ${result.title}` })) : "";
  const named = h("p", { class: "readout" });
  const matrix = gramView(), bars = barsView(), name = h("p", { class: "name" }), facts = h("dl", { class: "facts" });
  const train = h("button", { class: "main", onclick: () => goOn() }, "Train it on in the playground"),
    why = h("p", { class: "readout" });
  const axes = h("div", { class: "group" });
  let shownGroup = "";
  /** @type {import("./controls.js").Control<number>[]} */
  let controls = [];

  element.append(
    h("div", {}, h("h2", {}, result.title),
      h("p", { class: "said" }, [result.summary, result.shown].filter(Boolean).join(" "))),
    result.groups.length > 0 ? h("div", { class: "bench" },
      h("section", { class: "settings", "aria-label": "Which model" }, axes, h("div", { class: "group" }, train, why)),
      h("section", { class: "view", "aria-label": "Model" },
        h("figure", { class: "picture" }, ...Object.values(views).map((view) => view.element))),
      h("section", { class: "curve", "aria-label": "Figure" }, figure),
      h("section", { class: "readings", "aria-label": "What is seen" }, h("div", {}, name, facts, named),
        h("div", { class: "reading" }, h("h3", {}, "Wᵀ W, and biases"), matrix.element),
        h("div", { class: "reading" }, h("h3", {}, "Length and dimensionality"), bars.element))) : figure,
    claimsOf(result) || "",
    result.notes.length > 0 && h("section", {}, h("h3", {}, "What was chosen"),
      h("ul", {}, ...result.notes.map((note) => h("li", {}, note)))) || "",
    Object.keys(result.settings).length > 0 && h("details", {}, h("summary", {}, "Settings"),
      h("dl", { class: "facts" }, ...Object.entries(result.settings).flatMap(([key, value]) =>
        [h("dt", {}, key), h("dd", {}, JSON.stringify(value))]))) || "");

  /** @param {string} key @param {number} index */
  function choose(key, index) {
    const group = groupAt(/** @type {Result} */ (result), app.state.at), place = placeInGroup(group, app.state.at);
    const at = key === "group" ? []
      : group.axes.map((axis, i) => `${axis.name}:${axis.name === key ? index : place[i]}`);
    const which = key === "group" ? index : /** @type {Result} */ (result).groups.indexOf(group);
    app.set({ at: which > 0 ? [`group:${which}`, ...at] : at });
  }

  function goOn() {
    const start = own.start(app.state.at);
    if (!start) return;
    const { model, world } = start;
    app.set({
      part: "play", start: "own", features: model.n, hidden: model.m, output: model.output, layer: model.layer,
      values: world.values, kind: world.kind, size: world.sizes[0], density: world.density[0], decay: 1, extra: 1,
      loss: hasExact(world, model) ? "exact" : "sampled", steps: 0, changes: [], fork: -1, finish: -1,
    });
  }

  /** @param {State} state */
  function update(state) {
    if (!result?.groups.length) return;
    const group = groupAt(result, state.at), place = placeInGroup(group, state.at),
      { model, loss, world, why: reason } = modelOfGroup(group, place);
    if (shownGroup !== group.name || !controls.length) {
      shownGroup = group.name;
      controls = group.axes.map((axis) => axisControl(axis, (index) => choose(axis.name, index)));
      const which = result.groups.length > 1
        ? [selection("Models", result.groups.map((each) => each.name), (index) => choose("group", index))] : [];
      which[0]?.set(result.groups.indexOf(group));
      axes.replaceChildren(h("h3", {}, "Which model"), ...[...which, ...controls].map((each) => each.element));
    }
    controls.forEach((control, i) => control.set(place[i]));
    const finite = isFiniteModel(model);
    const kind = state.view === "graph" && finite ? "graph" : model.m > 2 && finite ? "space" : "flat";
    for (const [each, view] of Object.entries(views)) view.element.toggleAttribute("hidden", each !== kind || !finite);
    const shown = world ?? worldOf({ density: 1 }, model.n), found = finite ? polytopes(model) : [];
    if (finite) {
      if (kind === "flat") views.flat.draw({ model, world: shown, trail: false });
      else if (kind === "graph") views.graph.draw({ model, world: shown, found });
      else views.space.draw({
        model, world: shown, turn: { azimuth: state.azimuth, elevation: state.elevation }, found,
      });
      matrix.draw({ model });
      bars.draw({ model });
    }
    name.textContent = finite ? nameOf(found) : "not finite: this model has weights that are not numbers";
    const rows = [["loss", Number.isFinite(loss) ? steady(loss, 6) : "–"]];
    const possible = world !== null && trainable(model);
    if (possible && hasExact(world, model)) {
      const exact = exactLoss(model, world).loss, same = Math.abs(exact / loss - 1) < 0.05 || !Number.isFinite(loss);
      rows.push([
        same ? "exact loss, computed here" : "exact loss in the world that the data tell of", steady(exact, 6),
      ]);
    }
    if (finite) {
      rows.push(["features stored", `${norms(model).filter((each) => each > 0.5).length} of ${model.n}`]);
      rows.push(["sum of dimensionalities", steady(dimensionality(model).reduce((a, b) => a + b, 0), 3)]);
    }
    facts.replaceChildren(...rows.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]));
    const lengths = finite && group.features.length ? norms(model) : [];
    const stored = Array.from(lengths, (length, i) => ({ length, name: group.features[i] }))
      .filter((each) => each.length > 0.5).sort((a, b) => b.length - a.length);
    named.textContent = stored.slice(0, 20).map((each) => each.name).join(", ") + (stored.length > 20 ? ", …" : "");
    train.disabled = !possible;
    const assumed = (group.world?.assumed ?? []).map((each) => ASSUMED[each] ?? each).join(", ");
    why.textContent = possible && assumed ? `The data do not say all of their world; assumed: ${assumed}.`
      : possible || !finite ? ""
      : `It cannot go on training here: ${reason || "it is larger than 100 features in 30 dimensions"}.`;
  }

  /** @returns {import("./share.js").Shared | null} */
  function shared() {
    if (!result?.groups.length) return null;
    const group = groupAt(result, app.state.at),
      { model, loss, world } = modelOfGroup(group, placeInGroup(group, app.state.at));
    const picture = Object.values(views).map((view) => view.element).find((each) => !each.hasAttribute("hidden"));
    return {
      pictures: { ...(picture && { model: picture }), matrix: matrix.element, features: bars.element },
      numbers: () => ({ models: [{
        ...numbersOf(model, world ?? worldOf({ density: 1 }, model.n)),
        world: world && numbersOf(model, world).world, loss,
      }] }),
      python: () => "",
    };
  }

  return { element, show: () => update(app.state), hide() {}, update, shared };
}

/** @param {Axis} axis @param {(index: number) => void} changed @returns {import("./controls.js").Control<number>} */
function axisControl(axis, changed) {
  const text = (/** @type {number | string} */ value) => (typeof value === "number" ? brief(value) : value);
  if (axis.values.length <= 12 && axis.values.some((value) => typeof value === "string"))
    return selection(axis.name, axis.values.map(text), changed);
  return slider(axis.name, axis.values.map((_, index) => index), changed, (index) => text(axis.values[index]));
}

/** @param {Result} result */
function claimsOf({ claims }) {
  if (!claims.length) return null;
  const cells = (/** @type {OwnClaim} */ claim) => [
    h("td", { class: claim.status }, claim.status), h("td", {}, claim.statement),
    h("td", { class: "num" }, claim.expected), h("td", { class: "num" }, claim.measured),
  ];
  return h("section", {}, h("h3", {}, "Claims"), h("table", {},
    h("thead", {}, h("tr", {},
      ...["", "claim", "expected", "measured"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...claims.map((claim) => h("tr", {}, ...cells(claim))))));
}
