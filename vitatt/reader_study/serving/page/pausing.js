// The time that a case is visible, by a clock that never jumps; pauses are taken out.

import { byId } from "./elements.js";
import { ask } from "./server.js";
import { base, study } from "./settings.js";
import { say } from "./words.js";

const TICK = 1000; // milliseconds
const SLEPT = 15_000; // between two ticks of a visible page: the machine slept

let running = null; // the case whose time is counted
let since = null; // when counting began or went on; null while it rests
let active = 0; // the last time that anything was done
let ticked = 0;

// Counts the time of a case into its draft.
export function startClock(item, draft) {
  running = { item, draft };
  goOn();
}

// Ends counting, and leaves the time in the draft.
export function stopClock() {
  rest();
  running = null;
}

export function startPausing() {
  for (const name of ["pointerdown", "pointermove", "keydown", "wheel", "scroll", "input"]) {
    addEventListener(name, () => (active = performance.now()), { passive: true, capture: true });
  }
  document.addEventListener("visibilitychange", () => {
    if (!running || !byId("paused").hidden) return;
    if (document.visibilityState === "hidden") {
      rest();
      tell("hidden");
    } else {
      goOn();
      ask(`${base}/resume`).catch(missed);
    }
  });
  byId("pause").addEventListener("click", () => running && pause("button"));
  byId("continue").addEventListener("click", resume);
  setInterval(tick, TICK);
}

function tick() {
  const now = performance.now();
  if (since !== null && now - ticked > SLEPT) rest(ticked);
  ticked = now;
  if (!running || document.visibilityState === "hidden" || !byId("paused").hidden) return;
  if (since === null) goOn();
  const idle = study.idle_minutes * 60_000;
  if (now - active > idle) {
    rest(active);
    pause("idle");
  } else count(now);
}

function goOn() {
  if (document.visibilityState === "hidden") return;
  since = ticked = active = performance.now();
}

// Adds the time until `end` to the draft, and stops counting.
function rest(end = performance.now()) {
  count(end);
  since = null;
}

function count(end) {
  if (!running || since === null) return;
  const { draft } = running;
  draft.keep({ seconds: Math.max(0, draft.seconds + (end - since) / 1000) });
  since = end;
}

// While it pauses, the case is not seen.
function pause(reason) {
  if (reason === "button") rest();
  tell(reason);
  byId("paused-why").textContent = reason === "idle" ? say("paused_idle") : say("paused_button");
  showPaused(true);
  byId("continue").focus();
}

function resume() {
  showPaused(false);
  goOn();
  ask(`${base}/resume`).catch(missed);
  byId("stage").querySelector("h1")?.focus();
}

function showPaused(isPaused) {
  byId("paused").hidden = !isPaused;
  byId("stage").hidden = byId("pause").hidden = isPaused;
}

function tell(reason) {
  const { item, draft } = running;
  ask(`${base}/pause`, { item, reason, seconds: draft.seconds }, { keepalive: true }).catch(missed);
}

// A pause that does not reach the server is taken out of the time all the same.
function missed(error) {
  if (error.status === undefined && error.name !== "AbortError") throw error;
}
