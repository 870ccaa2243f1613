// The lines of Python that make a model of the page again, with this package.

import { rows } from "./engine.js";
import { setsOf } from "./worlds.js";

/** @import { Run } from "./engine.js" */
/** @import { State } from "./state.js" */

const LAW_OF_VALUES = { uniform: "", signed: "Uniform(-1, 1)", binary: "Binary()" };

/** A number that Python reads as the same number. @param {number} x */
function written(x) {
  return Number.isFinite(x) ? String(x) : `float("${Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf"}")`;
}

/** @param {ArrayLike<number>} numbers */
function list(numbers) {
  const all = Array.from(numbers);
  return all.length > 1 && all.every((x) => x === all[0]) ? `np.full(${all.length}, ${written(all[0])})` : `[${all.map(written).join(", ")}]`;
}

/**
 * A program that makes the model and prints its loss.
 * @param {State} state @param {Run} run @param {{loss: number, exact: boolean}} loss that of the run, and whether it is exact
 */
export function pythonOf(state, run, loss) {
  const { model, world, training, step } = run, { values, kind } = world;
  const name = { independent: "Independent", correlated: "Correlated", anticorrelated: "Anticorrelated" }[kind];
  const law = LAW_OF_VALUES[values], of = law ? `, ${law}` : "";
  const sizes = kind === "independent" ? "" : `, ${JSON.stringify(setsOf(state.features, state.size))}`;
  const model_ = model.layer === "relu" ? "ReluHidden" : model.output === "relu" ? "ReluOutput" : "Linear";
  const kinds = model.layer === "relu" && model.output === "linear" ? ', activation="identity"' : "";
  const untouched = state.changes.length === 0 && state.fork < 0 && state.start === "seed" && step > 0;
  const lines = [
    "import jax, numpy as np, optax",
    `from superpose.features import ${name}`,
    `from superpose.losses import ${loss.exact ? "Population" : "Population, Sampled"}`,
    `from superpose.models import ${model_}`,
    "from superpose.train import ensemble, fit, member",
    ...(law ? [`from superpose.values import ${law.split("(")[0]}`] : []),
    "",
    `world = ${name}(${list(world.density)}${sizes}, ${list(world.importance)}${of})`,
    "",
    `# The model after ${step.toLocaleString("en")} steps.`,
    `W = np.array([${rows(model, model.W).map((row) => `\n    [${row.map(written).join(", ")}],`).join("")}\n])`,
    `b = np.array([${Array.from(model.b, written).join(", ")}])`,
    `model = ${model_}(W, b${kinds})`,
    model.layer === "linear"
      ? `print(Population(world)(model))${loss.exact ? `  # ${written(loss.loss)} in the page` : ""}`
      : `print(Sampled(world, batch=100_000)(model, 0))`,
  ];
  if (untouched) {
    const trained = loss.exact ? "Population(world)" : `Sampled(world, batch=${training.batch})`;
    lines.push(
      "", "# The same from its seed: a member of an ensemble is the same model alone.",
      `models = ensemble(lambda key: ${model_}.init(${model.n}, ${model.m}${kinds}, key=key), members=[${run.seed}], key=0)`,
      `keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.array([${run.seed}]))`,
      `trained = fit(models, ${trained}, steps=${step}, key=keys, optimizer=optax.${training.optimizer}(${training.rate}))`,
      "print(member(trained.models, 0).W)",
    );
  }
  return `${lines.join("\n")}\n`;
}
