// Models of the page elsewhere: as numbers, and as the lines of Python that make them again with this package.

import { rows } from "./engine.js";

/** @import { Model } from "./exact.js" */
/** @import { Run } from "./engine.js" */
/** @import { State } from "./state.js" */
/** @import { World } from "./worlds.js" */

const LAW_OF_VALUES = { uniform: "", signed: "Uniform(-1, 1)", binary: "Binary()" };

/** A number that Python reads as the same number. @param {number} x */
function written(x) {
  return Number.isFinite(x) ? String(x) : `float("${Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf"}")`;
}

/** @param {ArrayLike<number>} numbers */
function list(numbers) {
  const all = Array.from(numbers);
  return all.length > 1 && all.every((x) => x === all[0]) ? `np.full(${all.length}, ${written(all[0])})`
    : `[${all.map(written).join(", ")}]`;
}

/** The world and the kind of model, as Python has them, and what is to be imported for them.
 * @param {World} world @param {Pick<Model, "output" | "layer">} model */
function wordsOf({ density, importance, values, kind, sizes }, { output, layer }) {
  const law = { independent: "Independent", correlated: "Correlated", anticorrelated: "Anticorrelated" }[kind];
  const value = LAW_OF_VALUES[values];
  const parts = [
    list(density), ...(kind === "independent" ? [] : [JSON.stringify(sizes)]), list(importance),
    ...(value ? [value] : []),
  ];
  const model = layer === "relu" ? "ReluHidden" : output === "relu" ? "ReluOutput" : "Linear";
  return {
    world: `world = ${law}(${parts.join(", ")})`,
    model, settings: layer === "relu" && output === "linear" ? ', activation="identity"' : "",
    imports: [
      `from superpose.features import ${law}`, `from superpose.models import ${model}`,
      ...(value ? [`from superpose.values import ${value.split("(")[0]}`] : []),
    ],
  };
}

/** A program: what it imports, in order, and then its lines. @param {string[]} imports @param {string[]} lines */
function program(imports, lines) {
  return `${["import jax, numpy as np", ...imports.sort(), "", ...lines].join("\n")}\n`;
}

/**
 * A program that makes the model of a run and prints its loss; and, if nothing was changed on the way, trains it again.
 * @param {State} state @param {Run} run
 * @param {{loss: number, exact: boolean}} loss that of the run, and whether it is exact
 * @param {string} [of] which of the models it is
 */
export function pythonOf(state, run, loss, of = "the model") {
  const { model, world, training, step, seed } = run, { imports, ...words } = wordsOf(world, model);
  const exact = model.layer === "linear",
    judge = exact ? "Population(world)(model)" : "Sampled(world, batch=100_000)(model, 0)";
  const lines = [
    words.world,
    "",
    `# ${of[0].toUpperCase()}${of.slice(1)} after ${step.toLocaleString("en")} steps`
      + `${state.finish >= 0 ? ", and taken to a minimum" : ""}.`,
    `W = np.array([${rows(model, model.W).map((row) => `\n    [${row.map(written).join(", ")}],`).join("")}\n])`,
    `b = np.array([${Array.from(model.b, written).join(", ")}])`,
    `model = ${words.model}(W, b${words.settings})`,
    `print(${judge})${loss.exact ? `  # ${written(loss.loss)} in the page` : ""}`,
  ];
  const losses = new Set([exact ? "Population" : "Sampled"]);
  if (state.changes.length === 0 && state.fork < 0 && state.finish < 0 && state.start === "seed" && step > 0) {
    losses.add(loss.exact ? "Population" : "Sampled");
    imports.push("from superpose.train import ensemble, fit, member, member_keys", "import optax");
    lines.push(
      "", "# The same from its seed: a member of an ensemble is the same model alone.",
      `models = ensemble(lambda key: ${words.model}.init(${model.n}, ${model.m}${words.settings}, key=key), `
        + `members=[${seed}], key=0)`,
      `loss = ${loss.exact ? "Population(world)" : `Sampled(world, batch=${training.batch})`}`,
      `trained = fit(models, loss, steps=${step}, key=member_keys(0, [${seed}]), `
        + `optimizer=optax.${training.optimizer}(${training.rate}))`,
      "print(member(trained.models, 0).W)",
    );
  }
  return program([...imports, `from superpose.losses import ${[...losses].sort().join(", ")}`], lines);
}

/** A program that takes many seeds to their minima, and sorts them. @param {State} state @param {World} world */
export function pythonOfSeeds(state, world) {
  const { imports, ...words } = wordsOf(world, state);
  return program([
    ...imports, "from superpose.losses import Population", "from superpose.train import basins, ensemble, minimize",
  ], [
    words.world,
    `models = ensemble(lambda key: ${words.model}.init(${state.features}, ${state.hidden}${words.settings}, key=key), `
      + `members=${state.members}, key=0)`,
    "solved = minimize(models, Population(world))",
    "print(basins(solved, world))",
  ]);
}

/**
 * A program that finds the best model of a point of the phase diagram.
 * @param {World} world @param {number} m @param {number} members
 */
export function pythonOfCell(world, m, members) {
  const { imports, ...words } = wordsOf(world, { output: "relu", layer: "linear" });
  return program([
    ...imports, "from superpose.losses import Population",
    "from superpose.train import ensemble, member, minimize",
  ], [
    words.world,
    `models = ensemble(lambda key: ReluOutput.init(${world.n}, ${m}, key=key), members=${members}, key=0)`,
    "solved = minimize(models, Population(world))",
    "best = solved.loss.argmin()",
    "print(solved.loss[best], member(solved.models, best).W)",
    "",
    "# All of the diagram: superpose run phase-diagram",
  ]);
}

/** A model and its world as JSON has them. @param {Model} model @param {World} world */
export function numbersOf(model, world) {
  const { W, b, output, layer } = model, { density, importance, values, kind, sizes } = world;
  return {
    W: rows(model, W), b: Array.from(b), output, layer,
    world: { density: Array.from(density), importance: Array.from(importance), values, kind, sizes },
  };
}
