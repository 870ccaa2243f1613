// The page: its state, its parts, and its address.

import { h } from "./dom.js";
import { crewOf, serve } from "./crew.js";
import { LESSONS, lessonPanel, lessonState } from "./lessons.js";
import { ownPart, readOwn } from "./own.js";
import { phasesPart } from "./phases.js";
import { playgroundPart } from "./playground.js";
import { seedsPart } from "./seeds.js";
import { shareDialog } from "./share.js";
import { linkOf, possible, stateOf, usualState } from "./state.js";

/** @import { Crew } from "./crew.js" */
/** @import { Seen } from "./playground.js" */
/** @import { Start } from "./simulation.js" */
/** @import { State } from "./state.js" */
/**
 * What the parts of the page share. `set` changes the state; quietly where only the link has to follow. `calm` is true
 * for people who want less motion.
 * @typedef {{state: State, crew: Crew, calm: boolean, set: (patch: Partial<State>, how?: {quiet?: boolean}) => void,
 *   announce: (text: string) => void, notice: (text: string) => void, saw: (seen: Seen) => void,
 *   openLesson: (lesson: number) => void, link: () => string,
 *   start: () => Start | null}} App
 */

const PARTS = /** @type {const} */ ({
  lessons: "Lessons", play: "Playground", seeds: "Many seeds", phases: "Phase map", own: "Your result",
});

function startPage() {
  const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const own = readOwn(document.getElementById("result")?.textContent ?? "");
  const first = stateOf(location.hash);
  let state = first.state, problems = first.problems, late = 0;
  if (state.start === "own" && !own.start(state.at)) {
    state = { ...state, start: "seed" };
    problems.push(
      "This link is about a model of a result that is not in this page; here is one of the same size from its seed.");
  }
  if (!location.hash && own.result) state = { ...state, part: "own" };
  else if (!location.hash) state = { ...state, ...lessonState(1) };
  /** @type {Seen | null} */
  let seen = null;

  /** @type {App} */
  const app = {
    get state() {
      return state;
    },
    crew: crewOf(element("code").textContent ?? ""),
    calm: matchMedia("(prefers-reduced-motion: reduce)").matches,
    set(patch, { quiet = false } = {}) {
      const { part, lesson } = state;
      state = possible({ ...state, ...patch });
      if (quiet) return void (late ||= window.setTimeout(address, 400));
      problems = [];
      if (state.part !== part || state.lesson !== lesson) address(true);
      else late ||= window.setTimeout(address, 250);
      refresh();
    },
    announce(text) {
      element("said").textContent = text;
    },
    notice(text) {
      problems = [text];
      tellProblems();
    },
    saw(now) {
      seen = now;
      if (state.part === "lessons") lessons.notice(seen);
    },
    openLesson(lesson) {
      play.replay();
      app.set({ ...usualState(), ...lessonState(lesson) });
      if (LESSONS[lesson - 1].part === "play") play.setPlaying(!app.calm);
    },
    // a notebook's frame has no address
    link: () => `${location.protocol === "about:" ? "" : location.href.replace(/#.*/, "")}#${linkOf(state)}`,
    start: () => (state.start === "own" ? own.start(state.at) : null),
  };

  const play = playgroundPart(app);
  const parts = { play, seeds: seedsPart(app), phases: phasesPart(app), own: ownPart(app, own) };
  const lessons = lessonPanel(app);
  const share = shareDialog(app, () => (open ? parts[open].shared() : null));
  /** @type {keyof typeof parts | null} */
  let open = null;

  const links = Object.entries(PARTS).filter(
    ([part]) => part !== "own" || own.result || own.problem,
  ).map(([part, text]) => {
    const link = h("a", { href: "#", onclick: (/** @type {Event} */ event) => {
      event.preventDefault();
      if (part === "lessons") app.openLesson(state.lesson);
      else app.set({ part: /** @type {State["part"]} */ (part) });
    } }, text);
    return { part, link };
  });
  element("parts").append(...links.map(({ link }) => link));
  element("actions").append(h("button", { onclick: () => share.open() }, "Share"));
  element("stage").append(lessons.element, ...Object.values(parts).map((part) => part.element));
  document.body.append(share.element);

  function refresh() {
    const needed = state.part === "lessons" ? LESSONS[state.lesson - 1].part : state.part;
    for (const { part, link } of links) {
      if (part === state.part) {
        link.setAttribute("aria-current", "page");
        if (part !== open) link.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
      else link.removeAttribute("aria-current");
      link.setAttribute("href", `#${linkOf({ ...state, part: /** @type {State["part"]} */ (part) })}`);
    }
    lessons.element.hidden = state.part !== "lessons";
    element("stage").classList.toggle("taught", state.part === "lessons");
    if (state.part === "lessons") {
      lessons.update();
      lessons.notice(needed === "phases" ? null : seen);
    }
    for (const [name, part] of Object.entries(parts)) part.element.hidden = name !== needed;
    if (open !== needed) {
      if (open) parts[open].hide();
      open = needed;
      parts[needed].show();
    } else parts[needed].update(state);
    tellProblems();
  }

  function tellProblems() {
    const box = element("problems");
    box.textContent = [...problems, ...(own.problem && state.part === "own" ? [own.problem] : [])].join("\n");
    box.hidden = !box.textContent;
  }

  /**
   * Write the state into the address, or tell the notebook that the page is part of.
   * @param {boolean | number} [entry] a new one in the history
   */
  function address(entry) {
    clearTimeout(late);
    late = 0;
    const hash = `#${linkOf(state)}`;
    try {
      if (entry === true) history.pushState(null, "", hash);
      else history.replaceState(null, "", hash);
    } catch { // a page without an address of its own, as in a notebook
    }
    if (window.parent !== window) window.parent.postMessage({ superpose: "state", hash }, "*");
  }

  /** @param {string} hash */
  function follow(hash) {
    ({ state, problems } = stateOf(hash));
    play.replay();
    refresh();
  }
  addEventListener("popstate", () => follow(location.hash));
  addEventListener("message", ({ data, source }) => {
    if (source === window.parent && data?.superpose === "state" && typeof data.hash === "string"
      && data.hash.replace(/^#/, "") !== linkOf(state)) follow(data.hash);
  });
  addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || open !== "play" || share.element.open) return;
    if (target.closest("input, select, textarea, button, a, [role=application]")) return;
    if (play.key(event)) event.preventDefault();
  });

  refresh();
  if (!location.hash && !app.calm && state.part === "lessons") play.setPlaying(true);
}

if (typeof document === "undefined") serve();
else startPage();
