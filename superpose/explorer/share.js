// Sharing: the link, pictures, numbers, and the lines of Python.

import { h } from "./dom.js";
import { pngOf, svgText } from "./svg.js";

/** @import { App } from "./app.js" */
/**
 * What a part of the page has to share: its pictures by name, its numbers, and the lines of Python that make them.
 * @typedef {{pictures: Record<string, SVGSVGElement>, numbers: () => object, python: () => string}} Shared
 */

/** @param {App} app @param {() => Shared | null} shared what is open has */
export function shareDialog(app, shared) {
  const link = h("textarea", { readonly: true, rows: 2, "aria-label": "Link to what is seen" });
  const code = h("textarea", { readonly: true, class: "code", "aria-label": "Lines of Python", spellcheck: false });
  const said = h("p", { class: "readout", role: "status" });
  const picture = h("select", { "aria-label": "Which picture" });
  /** @type {Shared | null} */
  let now = null;

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
  const shown = () => /** @type {Shared} */ (now).pictures[picture.value];
  const fileName = () => picture.value.replaceAll(" ", "-");

  const pictures = h("section", {}, h("h3", {}, "A picture"), h("div", { class: "row" }, picture,
    h("button", { onclick: () => saved(
      new Blob([svgText(shown(), "superpose explorer")], { type: "image/svg+xml" }), `${fileName()}.svg`) }, "SVG"),
    h("button", { onclick: async () => saved(await pngOf(shown(), 2), `${fileName()}.png`) }, "PNG")));
  const numbers = h("section", {}, h("h3", {}, "The numbers"), h("div", { class: "row" },
    h("button", { onclick: () => now && saved(
      new Blob([`${JSON.stringify({ link: app.link(), ...now.numbers() }, null, 1)}\n`], { type: "application/json" }),
      "superpose.json") }, "JSON")));
  const python = h("section", {}, h("h3", {}, "The same in Python"), code,
    h("div", { class: "row" }, h("button", { onclick: () => copied(code) }, "Copy the lines")));
  const dialog = h("dialog", {
    "aria-label": "Share",
    onclick: (/** @type {MouseEvent} */ event) => event.target === dialog && dialog.close(),
  },
    h("button", { class: "bare close", "aria-label": "Close", onclick: () => dialog.close() }, "✕"),
    h("h2", {}, "Share what you see"),
    h("section", {}, h("h3", {}, "A link that restores it: settings, seed, steps and every change"), link,
      h("div", { class: "row" }, h("button", { class: "main", onclick: () => copied(link) }, "Copy the link"))),
    pictures, numbers, python, said);
  return {
    element: dialog,
    open() {
      now = shared();
      link.value = app.link();
      picture.replaceChildren(...Object.keys(now?.pictures ?? {}).map((name) => h("option", {}, name)));
      code.value = now?.python() ?? "";
      pictures.hidden = !picture.options.length;
      numbers.hidden = !now;
      python.hidden = !code.value;
      said.textContent = "";
      dialog.showModal();
    },
  };
}
