// The controls of the page, each a labeled element with `set(value)`, which shows a value without saying that it
// changed.

import { h } from "./dom.js";

/** @template T @typedef {{element: HTMLElement, set: (value: T, possible?: boolean) => void}} Control */

let controls = 0;

/**
 * A slider over given values, the nearest of which it shows for any other.
 * @param {string} label @param {number[]} values in rising order @param {(value: number) => void} changed
 * @param {(value: number) => string} [written] @returns {Control<number>}
 */
export function slider(label, values, changed, written = String) {
  const id = `control-${controls++}`;
  const output = h("output", { for: id });
  const input = h("input", {
    id, type: "range", min: 0, max: values.length - 1, step: 1,
    oninput: () => {
      show(values[input.valueAsNumber]);
      changed(values[input.valueAsNumber]);
    },
  });
  /** @param {number} value */
  function show(value) {
    output.textContent = written(value);
    input.setAttribute("aria-valuetext", written(value));
  }
  return {
    element: h("div", { class: "control" }, h("label", { for: id }, label), output, input),
    set(value, possible = true) {
      show(value);
      input.disabled = !possible;
      if (values[input.valueAsNumber] === value) return;
      const far = values.map((other) => Math.abs(Math.log((other + 1e-9) / (value + 1e-9))));
      input.value = String(far.indexOf(Math.min(...far)));
    },
  };
}

/**
 * One of a few, side by side.
 * @template {string} T @param {string} label @param {Record<T, string>} options what each is called
 * @param {(value: T) => void} changed @param {boolean} [plain] without a visible label @returns {Control<T>}
 */
export function choice(label, options, changed, plain = false) {
  const name = `control-${controls++}`;
  const inputs = /** @type {[T, string][]} */ (Object.entries(options)).map(([value, text]) => {
    const input = h("input", { type: "radio", name, value, onchange: () => changed(value) });
    return { input, element: h("label", {}, input, h("span", {}, text)) };
  });
  const choices = h("div", { class: "choices" }, ...inputs.map((each) => each.element));
  return {
    element: h("fieldset", { class: plain ? "plain" : "control" },
      h("legend", { class: plain && "unseen" }, label), choices),
    set(value, possible = true) {
      for (const { input } of inputs) {
        input.checked = input.value === value;
        input.disabled = !possible && input.value !== value;
      }
    },
  };
}

/**
 * One of many.
 * @param {string} label @param {string[]} options @param {(index: number) => void} changed @returns {Control<number>}
 */
export function selection(label, options, changed) {
  const id = `control-${controls++}`;
  const input = h("select", { id, "aria-label": label, onchange: () => changed(input.selectedIndex) },
    ...options.map((text) => h("option", {}, text)));
  return {
    element: h("div", { class: "control" }, h("label", { for: id }, label), input),
    set(index) {
      input.selectedIndex = index;
    },
  };
}

/**
 * A whole number.
 * @param {string} label @param {number} least @param {number} most @param {(value: number) => void} changed
 * @returns {Control<number>}
 */
export function wholeNumber(label, least, most, changed) {
  const id = `control-${controls++}`;
  const input = h("input", {
    id, type: "number", min: least, max: most, step: 1, inputmode: "numeric",
    onchange: () => {
      const value = Math.min(Math.max(Math.round(input.valueAsNumber) || least, least), most);
      input.value = String(value);
      changed(value);
    },
  });
  return {
    element: h("div", { class: "control" }, h("label", { for: id }, label), input),
    set(value, possible = true) {
      if (input.valueAsNumber !== value) input.value = String(value);
      input.disabled = !possible;
    },
  };
}

/** A number in as few digits as tell it apart. @param {number} value @param {number} [digits] */
export function brief(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
}

/**
 * A number with so many digits after the first that is not 0, so that its width stays.
 * @param {number} value @param {number} [digits]
 */
export function steady(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(digits - 1) : value.toPrecision(digits);
}
