// Six short lessons: each is a state of the page, a few sentences, and one thing to try that the page notices.

import { h } from "./dom.js";
import { phaseBoundary } from "./theory.js";

/** @import { App } from "./app.js" */
/** @import { Seen } from "./playground.js" */
/** @import { State } from "./state.js" */
/**
 * @typedef {{title: string, words: string, wanted: string, part: "play" | "phases", state: Partial<State>,
 *   done: (state: State, seen: Seen | null) => boolean}} Lesson
 */

/** @type {Lesson[]} */
export const LESSONS = [
  {
    title: "A feature is a direction",
    words: "This network must squeeze five numbers through two and give all five back. Each arrow is a feature: the "
      + "direction in which its number is stored, long where much of it comes back. Here all five are always active, "
      + "and the network does the only thing it can: the two most important features get a dimension each, and the "
      + "rest are forgotten.",
    wanted: "Give it a third hidden dimension, with the slider under Model. Which feature comes back?",
    part: "play",
    state: { density: 1, seed: 3 },
    done: (state, seen) => state.hidden === 3 && seen?.model.m === 3 && seen.stored === 3 && seen.step > 200,
  },
  {
    title: "Sparsity makes room",
    words: "Real features are rare: most of the time most of them are absent. Two that share a direction then seldom "
      + "meet, and the ReLU clears away what is left of their interference. So the network stores more features than "
      + "it has dimensions. That is superposition.",
    wanted: "While it trains, lower the density to 0.2 or less, and watch forgotten features come back.",
    part: "play",
    state: { density: 1, seed: 3 },
    done: (state, seen) => latest(state, "density") <= 0.2 && (seen?.stored ?? 0) >= 4,
  },
  {
    title: "Antipodal pairs",
    words: "The least that two features can share is one dimension, at its opposite ends. When one is active, the "
      + "other's output is pushed below zero, where the ReLU cuts it off: only when both are active at once is "
      + "anything lost. The dashed lines across the curve say what each way of storing costs.",
    wanted: "Raise the density until being together costs more than being forgotten, and the pair breaks.",
    part: "play",
    state: { features: 2, hidden: 1, density: 0.2, decay: 0.8, seed: 1 },
    done: (state, seen) => latest(state, "density") > 0.5 && seen?.stored === 1 && seen.step > 100,
  },
  {
    title: "The pentagon, and other minima",
    words: "Five equal features in two dimensions would like to be a regular pentagon. But training only goes downhill "
      + "from random weights, and can end in another valley: two pairs and a feature that is left out, for example. "
      + "An average over such runs would show a shape that no network has.",
    wanted: "Press New seed, let it train, and compare the losses, until you have found the pentagon.",
    part: "play",
    state: { density: 0.2, decay: 1, seed: 0 },
    done: (_, seen) => seen?.name === "pentagon" && seen.step > 200,
  },
  {
    title: "A phase change",
    words: "Here is every answer at once. Each cell of this map is a world of its own, with its best network out of "
      + "several: blue where the extra feature has a dimension to itself, red where it shares one, gray where it is "
      + "ignored. The borders are sharp, as between ice and water, and the line is where theory puts one.",
    wanted: "Drag across a border, and watch the solution that is followed cling to its old phase.",
    part: "phases",
    state: { diagram: "2-in-1" },
    done: (state) => crosses(state.path),
  },
  {
    title: "Why attackers like it",
    words: "A feature that shares its dimensions can be moved through the others: a little of each, all at once, adds "
      + "up. The worst push says how far some output moves when the input changes by a length of 1. Alone in its "
      + "dimension that is 1; in this pentagon it is twice as much, and nobody had to look for it.",
    wanted: "Raise the density step by step while it trains, until the worst push is down at 1. What did that cost?",
    part: "play",
    state: { density: 0.05 },
    done: (state, seen) => latest(state, "density") > 0.5 && (seen?.push ?? 2) < 1.05 && (seen?.step ?? 0) > 100,
  },
];

/** The latest value of a setting. @param {State} state @param {"density" | "decay"} name */
function latest(state, name) {
  return state.changes.filter((change) => change.name === name).at(-1)?.value ?? state[name];
}

/**
 * Whether a path over the map of 2 features in 1 dimension has points on both sides of the border.
 * @param {number[]} path
 */
function crosses(path) {
  const sides = path.map((cell) => {
    const density = 10 ** (-2 + (2 * Math.floor(cell / 50)) / 49), importance = 10 ** (-1 + (2 * (cell % 50)) / 49);
    return density < phaseBoundary(2, importance);
  });
  return sides.includes(true) && sides.includes(false);
}

/** The state of a lesson, on top of the usual one. @param {number} number from 1 on @returns {Partial<State>} */
export function lessonState(number) {
  return { ...LESSONS[number - 1].state, lesson: number, part: "lessons" };
}

/** @param {App} app */
export function lessonPanel(app) {
  const done = new Set();
  const links = LESSONS.map(({ title }, i) =>
    h("a", { href: "#", "aria-label": `Lesson ${i + 1}: ${title}`, title, onclick: (/** @type {Event} */ event) => {
      event.preventDefault();
      app.openLesson(i + 1);
    } }, i + 1));
  const title = h("h2", {}), words = h("p", {}), wanted = h("p", {}), verdict = h("h3", {});
  const next = h("button", {
    class: "next",
    onclick: () => (app.state.lesson < LESSONS.length
      ? app.openLesson(app.state.lesson + 1) : app.set({ part: "play" })),
  });
  const box = h("div", { class: "try" }, verdict, wanted, next);
  const element = h("section", { class: "lesson", "aria-label": "Lesson" },
    h("div", {}, h("ol", { class: "steps" }, ...links.map((link) => h("li", {}, link))), title, words), box);

  function update() {
    const { lesson } = app.state, { title: called, words: said, wanted: asked } = LESSONS[lesson - 1];
    title.textContent = called;
    words.textContent = said;
    wanted.textContent = asked;
    for (const [i, link] of links.entries()) {
      if (i + 1 === lesson) link.setAttribute("aria-current", "step");
      else link.removeAttribute("aria-current");
      link.classList.toggle("done", done.has(i + 1));
    }
    box.classList.toggle("done", done.has(lesson));
    verdict.textContent = done.has(lesson) ? "Seen ✓" : "Try this";
    next.textContent = lesson < LESSONS.length ? `Next: ${LESSONS[lesson].title}` : "Now explore on your own";
    next.classList.toggle("main", done.has(lesson));
  }

  return {
    element,
    update,
    /** @param {Seen | null} seen */
    notice(seen) {
      const { lesson } = app.state;
      if (done.has(lesson) || !LESSONS[lesson - 1].done(app.state, seen)) return;
      done.add(lesson);
      app.announce("Seen. The next lesson is open.");
      update();
    },
  };
}
