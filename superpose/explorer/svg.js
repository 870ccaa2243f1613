// SVG elements that are made once and changed often, and pictures as files.

/** @typedef {Record<string, string | number>} Attributes */
/**
 * A picture. Its unit is a pixel, or more on a page with large letters, so that letters and lines keep their
 * sizes however wide it is. `fit` sets its height and returns its width; `say` changes what it says is seen.
 * @typedef {{element: SVGSVGElement, fit: (height: (width: number) => number) => number,
 *   say: (text: () => string) => void}} Picture
 */

/** What attributes are, so that only changes reach the page. @type {WeakMap<Element, Attributes>} */
const KNOWN = new WeakMap();

/** A number, or 0 for what is none. @param {number} x */
export function finite(x) {
  return Number.isFinite(x) ? x : 0;
}

/** A point of a path. @param {number} x @param {number} y */
export function pair(x, y) {
  return `${Math.round(10 * finite(x)) / 10} ${Math.round(10 * finite(y)) / 10}`;
}

/** Change an element's attributes. @param {Element} element @param {Attributes} attributes */
export function put(element, attributes) {
  let known = KNOWN.get(element);
  if (!known) KNOWN.set(element, (known = {}));
  for (const name in attributes) {
    const given = attributes[name];
    const value = typeof given === "string" ? given : Math.round(100 * finite(given)) / 100;
    if (known[name] === value) continue;
    known[name] = value;
    element.setAttribute(name, `${value}`);
  }
}

/** Change an element's text. @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A new element.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag @param {Attributes} [attributes] @param {Element} [parent]
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  put(element, attributes);
  parent?.append(element);
  return element;
}

/**
 * As many elements of a kind as a picture needs this time, in a group of their own.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Element} parent @param {Tag} tag @param {Attributes} [shared] attributes of the group
 * @returns {(count: number) => SVGElementTagNameMap[Tag][]}
 */
export function pool(parent, tag, shared = {}) {
  const group = make("g", shared, parent), all = /** @type {SVGElementTagNameMap[Tag][]} */ ([]);
  return (count) => {
    while (all.length < count) all.push(make(tag, {}, group));
    while (all.length > count) all.pop()?.remove();
    return all;
  };
}

/** Runs what it is given at most every `wait` milliseconds, and always the last. @param {number} wait */
export function throttled(wait) {
  let last = -Infinity, waits = false, next = () => {};
  const now = () => {
    waits = false;
    last = performance.now();
    next();
  };
  return (/** @type {() => void} */ run) => {
    next = run;
    if (waits) return;
    const left = last + wait - performance.now();
    if (left <= 0) return now();
    waits = true;
    setTimeout(now, left);
  };
}

/** @param {() => void} redraw called when the size changes @returns {Picture} */
export function picture(redraw) {
  const element = make("svg", { role: "img", viewBox: "0 0 320 320", "aria-label": "Nothing yet" }),
    slowly = throttled(500);
  element.style.setProperty("font-variant-numeric", "tabular-nums");
  let width = 320;
  new ResizeObserver(([{ contentRect: box }]) => {
    const unit = Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 16);
    const view = element.viewBox.baseVal, scale = Math.min(box.width / view.width, box.height / view.height);
    if (!(scale > 0) || Math.abs(scale / unit - 1) < 0.002) return; // hidden, or as it should be
    width = (view.width * scale) / unit;
    redraw();
  }).observe(element);
  return {
    element,
    fit(height) {
      put(element, { viewBox: `0 0 ${Math.round(10 * width) / 10} ${Math.round(10 * height(width)) / 10}` });
      return width;
    },
    say: (text) => slowly(() => put(element, { "aria-label": text() })),
  };
}

/** Where a pointer is, in a picture's units. @param {SVGSVGElement} element @param {MouseEvent} event */
export function pointerAt(element, event) {
  const { a, e, f } = element.getScreenCTM() ?? new DOMMatrix();
  return { x: (event.clientX - e) / a, y: (event.clientY - f) / a };
}

/** About how wide a text is. @param {string} text @param {number} size */
export function widthOf(text, size) {
  return 0.54 * size * text.length;
}

/** A number as it is read: 1,200, 0.0312, 2.5×10⁻⁵.
 * @param {number} value @param {number} [digits] that count */
export function numeral(value, digits = 3) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  const short = Number(value.toPrecision(digits)), size = Math.abs(short), sign = short < 0 ? "−" : "";
  if (size === 0) return "0";
  if (size >= 0.001 && size < 1e6) {
    const [whole, rest] = `${size}`.split(".");
    return sign + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
  }
  const [mantissa, power] = size.toExponential().split("e");
  const raised = [...power.replace("+", "")].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)] ?? "⁻").join("");
  return `${sign}${mantissa === "1" ? "" : `${mantissa}×`}10${raised}`;
}

/** A number with so many decimals. @param {number} value @param {number} [decimals] */
export function fixed(value, decimals = 2) {
  if (!(Math.abs(value) < 1e6)) return numeral(value);
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** How far an axis reaches for such numbers: in steps, so that it keeps still. @param {number} longest */
export function reachOf(longest) {
  const needed = 1.1 * longest;
  if (!(needed > 1.35)) return 1.35;
  const power = 10 ** Math.floor(Math.log10(needed));
  return power * ([2, 3, 5, 10].find((step) => needed <= step * power) ?? 10);
}

/** A picture as the text of a file, with its colors and fonts in it.
 * @param {SVGSVGElement} element @param {string} title */
export function svgText(element, title) {
  const copy = /** @type {SVGSVGElement} */ (element.cloneNode(true));
  const { width, height } = element.viewBox.baseVal, copies = copy.querySelectorAll("*");
  element.querySelectorAll("*").forEach((part, at) => {
    const style = getComputedStyle(part);
    for (const { name, value } of part.attributes) {
      if (value.includes("var(")) copies[at].setAttribute(name, style.getPropertyValue(name));
    }
  });
  const style = getComputedStyle(element);
  put(copy, { width, height, "font-family": style.fontFamily, color: style.color });
  for (const name of element.getAttributeNames()) {
    if (/^(role|tabindex|class|style|id|aria-.*)$/.test(name)) copy.removeAttribute(name);
  }
  copy.style.setProperty("font-variant-numeric", "tabular-nums");
  const back = make("rect", { width, height, fill: style.getPropertyValue("--paper").trim() || "#ffffff" });
  const names = [make("title"), make("desc")];
  names[0].textContent = title;
  names[1].textContent = element.getAttribute("aria-label") ?? "";
  copy.prepend(...names, back);
  return new XMLSerializer().serializeToString(copy);
}

/** A picture as a PNG of `scale` pixels for each unit.
 * @param {SVGSVGElement} element @returns {Promise<Blob>} */
export async function pngOf(element, scale = 2) {
  const { width, height } = element.viewBox.baseVal;
  const url = URL.createObjectURL(new Blob([svgText(element, "")], { type: "image/svg+xml" }));
  try {
    const image = new Image(), canvas = document.createElement("canvas");
    image.src = url;
    await image.decode();
    [canvas.width, canvas.height] = [Math.round(scale * width), Math.round(scale * height)];
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => canvas.toBlob((blob) =>
      (blob ? resolve(blob) : reject(new Error("the picture is too large for a PNG")))));
  } finally {
    URL.revokeObjectURL(url);
  }
}
