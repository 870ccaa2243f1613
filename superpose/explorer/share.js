// Sharing: the link, pictures, numbers, and the lines of Python.

import { h } from "./dom.js";
import { exactLoss, hasExact } from "./exact.js";
import { rows } from "./engine.js";
import { pythonOf } from "./python.js";
import { linkOf } from "./state.js";
import { pngOf, svgText } from "./svg.js";

/** @import { App } from "./app.js" */
/** @import { Run } from "./engine.js" */

/** @param {App} app @param {() => {runs: Run[], chosen: number, pictures: Record<string, SVGSVGElement>}} current */
export function shareDialog(app, current) {
  const link = h("textarea", { readonly: true, rows: 2, "aria-label": "Link to what is seen" });
  const code = h("textarea", { readonly: true, class: "code", "aria-label": "Lines of Python", spellcheck: false });
  const said = h("p", { class: "readout", role: "status" });
  const picture = h("select", { "aria-label": "Which picture" },
    ...Object.entries({ model: "the model", curve: "the loss", matrix: "Wᵀ W", bars: "the features" }).map(([value, text]) => h("option", { value }, text)));

  const copied = async (/** @type {HTMLTextAreaElement} */ from) => {
    from.select();
    try {
      await navigator.clipboard.writeText(from.value);
      said.textContent = "Copied.";
    } catch {
      said.textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with the keyboard.";
    }
  };
  const saved = (/** @type {Blob} */ blob, /** @type {string} */ name) => {
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    said.textContent = `Saved as ${name}.`;
  };
  const shown = () => current().pictures[picture.value];

  const dialog = h("dialog", { "aria-label": "Share", onclick: (/** @type {MouseEvent} */ event) => event.target === dialog && dialog.close() },
    h("button", { class: "bare close", "aria-label": "Close", onclick: () => dialog.close() }, "✕"),
    h("h2", {}, "Share what you see"),
    h("section", {}, h("h3", {}, "A link that restores it: settings, seed, steps and every change"), link,
      h("div", { class: "row" }, h("button", { class: "main", onclick: () => copied(link) }, "Copy the link"))),
    h("section", {}, h("h3", {}, "A picture, or the numbers"), h("div", { class: "row" }, picture,
      h("button", { onclick: () => saved(new Blob([svgText(shown(), "superpose explorer")], { type: "image/svg+xml" }), `${picture.value}.svg`) }, "SVG"),
      h("button", { onclick: async () => saved(await pngOf(shown(), 2), `${picture.value}.png`) }, "PNG"),
      h("button", { onclick: () => saved(new Blob([numbersOf(app, current())], { type: "application/json" }), "model.json") }, "JSON"))),
    h("section", {}, h("h3", {}, "The same model in Python"), code, h("div", { class: "row" }, h("button", { onclick: () => copied(code) }, "Copy the lines"))),
    said);
  return {
    element: dialog,
    open() {
      const { runs, chosen } = current(), run = runs[Math.min(chosen, runs.length - 1)];
      link.value = app.link();
      code.value = pythonOf(app.state, run, lossNow(run));
      said.textContent = "";
      dialog.showModal();
    },
  };
}

/** @param {Run} run */
function lossNow({ model, world, training, history }) {
  const exact = training.exact && hasExact(world, model);
  return { exact, loss: exact ? exactLoss(model, world).loss : history.loss.at(-1) ?? NaN };
}

/** All numbers of what is seen, as JSON. @param {App} app @param {{runs: Run[]}} current */
function numbersOf(app, { runs }) {
  const models = runs.map((run) => {
    const { model, world, step, history, training } = run;
    return {
      W: rows(model, model.W), b: Array.from(model.b), ...lossNow(run), step, training, history, output: model.output, layer: model.layer,
      world: { ...world, density: Array.from(world.density), importance: Array.from(world.importance) },
    };
  });
  return `${JSON.stringify({ link: `#${linkOf(app.state)}`, models }, null, 1)}\n`;
}
