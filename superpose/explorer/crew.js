// The Workers: as many as there are cores, each given one task at a time. Where a page may have none, the page works
// itself.

import { TASKS } from "./tasks.js";

/** @import { Tasks } from "./tasks.js" */
/** @typedef {{worker: Worker | null, job: Job | null}} Place */
/**
 * @typedef {{id: number, task: keyof Tasks, asked: any, group: string, resolve: (value: any) => void,
 *   reject: (error: Error) => void}} Job
 */
/**
 * @typedef {{size: number,
 *   ask: <Name extends keyof Tasks>(task: Name, asked: Parameters<Tasks[Name]>[0], group?: string) =>
 *     Promise<ReturnType<Tasks[Name]>>,
 *   drop: (group: string) => void}} Crew
 */

/**
 * Workers that run the same program as the page. `ask` gives one a task; tasks wait in line. `drop` forgets those of a
 * group that have not begun: their promises never settle.
 * @param {string} program the text of the page's script @param {number} [size] @returns {Crew}
 */
export function crewOf(program, size = Math.max(1, Math.min(navigator.hardwareConcurrency || 2, 8))) {
  /** @type {Place[]} */
  const places = Array.from({ length: size }, () => ({ worker: null, job: null }));
  /** @type {Job[]} */
  let line = [];
  let url = "", none = typeof Worker === "undefined", jobs = 0;

  function next() {
    for (const place of places) {
      if (place.job || !line.length) continue;
      place.job = line.shift() ?? null;
      if (place.job) begin(place, place.job);
    }
  }

  /** @param {Place} place @param {Job} job */
  function begin(place, job) {
    try {
      if (!none) place.worker ??= hire(place);
    } catch {
      none = true;
    }
    if (place.worker) place.worker.postMessage({ id: job.id, task: job.task, asked: job.asked });
    else setTimeout(() => end(place, job.id, answer(job)), 0);
  }

  /** @param {Place} place */
  function hire(place) {
    url ||= URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
    const worker = new Worker(url);
    worker.onmessage = ({ data }) => end(place, data.id, data);
    worker.onerror = (event) => { // it could not start: from now on the page does the work
      event.preventDefault();
      none = true;
      place.worker = null;
      if (place.job) begin(place, place.job);
    };
    return worker;
  }

  /** @param {Place} place @param {number} id @param {{value?: any, error?: string}} answer */
  function end(place, id, { value, error }) {
    const job = place.job;
    if (!job || job.id !== id) return;
    place.job = null;
    if (error === undefined) job.resolve(value);
    else job.reject(new Error(error));
    next();
  }

  return {
    size,
    ask: (task, asked, group = "") =>
      new Promise((resolve, reject) => {
        line.push({ id: jobs++, task, asked, group, resolve, reject });
        next();
      }),
    drop: (group) => {
      line = line.filter((job) => job.group !== group);
    },
  };
}

/**
 * What a task gives, or why it fails.
 * @param {{task: keyof Tasks, asked: any}} job @returns {{value?: any, error?: string}}
 */
function answer({ task, asked }) {
  try {
    return { value: TASKS[task](asked) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** What the program does in a Worker. */
export function serve() {
  self.onmessage = ({ data }) => self.postMessage({ id: data.id, ...answer(data) });
}
