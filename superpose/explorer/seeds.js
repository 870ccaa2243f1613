import { h } from "./dom.js";
/** @param {any} app */
export function seedsPart(app) { return { element: h("div", {}, "seeds"), show() {}, hide() {}, update(/** @type {any} */ _) {} }; }
