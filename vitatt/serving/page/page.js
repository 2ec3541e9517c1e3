// The page: pictures and answers go in, and the result, its reasons and open questions follow.

import { answers, clearErrors, showError, startAnswers } from "./answers.js";
import { forgetChances, inWords, showChances } from "./chances.js";
import { byId } from "./elements.js";
import { askCase, hold, isHeld } from "./held_case.js";
import { startLanguages } from "./languages.js";
import { startPictures } from "./pictures.js";
import { showQuestions } from "./questions.js";
import { showEvidence, showMaps, showNoMaps, showOpacity, startOpacity } from "./reasons.js";
import { clearRecord, startRecord } from "./record.js";
import { mayPass } from "./server.js";
import { models, say } from "./words.js";

// Milliseconds without a change after which map and questions follow: as long as these take, since
// the server runs one thing after the other, and a further change would wait for them.
const REST = { least: 300, most: 1500 };

const AGAIN = 4000; // milliseconds after which is asked again what failed for a reason that may pass

const model = byId("model");
const target = byId("target");
const contrast = byId("contrast");

let running = new AbortController();
let resting;
let rest = REST.least;
let shown = null;
let areSeen = true; // the bars of the result

// Asks for the result with the answers of now; of several such calls the last one wins.
async function update() {
  ready(false);
  running.abort();
  clearTimeout(resting);
  if (!isHeld()) return;
  running = new AbortController();
  const { signal } = running;
  document.body.setAttribute("aria-busy", "true");
  try {
    const asked = { answers: answers(), ...why() };
    const found = await askCase("what_if", asked, signal);
    clearErrors();
    show(found.models);
    resting = setTimeout(() => follow(asked, signal), rest);
  } catch (error) {
    complain(error);
  } finally {
    if (running.signal === signal) document.body.removeAttribute("aria-busy");
  }
}

// The map and the questions follow when the answers rest.
async function follow(asked, signal) {
  const chosen = chosenModel();
  const start = performance.now();
  try {
    if (chosen.method) {
      const more = { model: chosen.name, method: chosen.method, format: "png" };
      await showMaps(await askCase("explain", { ...asked, ...more }, signal), chosen.method_title);
    } else showNoMaps();
    const all = { answers: asked.answers, model: chosen.name };
    showQuestions(await askCase("open_questions", all, signal));
    rest = Math.min(REST.most, Math.max(REST.least, performance.now() - start));
    byId("said").textContent = inWords(shown.map((one) => one.prediction));
    ready(true);
  } catch (error) {
    complain(error);
  } finally {
    if (running.signal === signal) byId("maps").removeAttribute("aria-busy");
  }
}

function show(found) {
  shown = found;
  const predictions = found.map((one) => one.prediction);
  showChances(predictions);
  showEvidence(found[models.indexOf(chosenModel())]);
  byId("brief").textContent = inWords(predictions);
  byId("maps").setAttribute("aria-busy", "true"); // it is that of the answers before
  reveal(true);
  brief();
}

// Whether result, map and answers belong together, and so may be saved.
function ready(isReady) {
  clearRecord();
  for (const button of document.querySelectorAll(".actions button")) button.disabled = !isReady;
}

function reveal(isThere) {
  document.body.classList.remove("stale");
  byId("waiting").hidden = isThere;
  byId("waiting").textContent = say("waiting");
  byId("why").hidden = byId("open").hidden = !isThere;
  document.querySelector(".actions").hidden = !isThere;
  if (!isThere) brief();
}

function brief() {
  byId("brief").hidden = areSeen || !shown || document.body.classList.contains("stale");
}

function complain(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Error) || error.status === undefined) throw error;
  const isAskedAgain = isHeld() && mayPass(error);
  const message = isAskedAgain ? `${error.message} ${say("again")}` : error.message;
  const place = showError(message, byId(shown ? "problem" : "pictures-error"));
  if (shown) {
    document.body.classList.add("stale");
    byId("waiting").hidden = false;
    byId("waiting").textContent = say("stale");
    brief();
  } else {
    reveal(false);
    byId("waiting").hidden = isHeld();
  }
  place?.scrollIntoView({ block: "nearest" });
  if (isAskedAgain) resting = setTimeout(update, AGAIN);
}

function why() {
  const asked = {};
  if (target.value) asked.target = target.value;
  if (contrast.value) asked.contrast = contrast.value;
  return asked;
}

const chosenModel = () => models.find((one) => one.name === model?.value) ?? models[0];

function changedTarget() {
  if (!target.value || target.value === contrast.value) contrast.value = "";
  update();
}

// With a contrast, the target is what it is now: it must not turn into the contrast.
function changedContrast() {
  const now = shown?.[models.indexOf(chosenModel())];
  if (contrast.value && !target.value && now) target.value = now.target;
  if (contrast.value === target.value) contrast.value = "";
  update();
}

// What scripts have written is written again; the case is asked about again.
function translated() {
  byId("waiting").textContent = say("waiting");
  showOpacity();
  update();
}

startPictures((chosen) => {
  hold(chosen);
  shown = null;
  forgetChances();
  clearErrors();
  byId("maps").replaceChildren();
  reveal(false);
  if (chosen.size) byId("waiting").textContent = say("reading");
  update();
}, complain);
startLanguages(translated, complain);
startAnswers(update);
byId("case").addEventListener("input", () => ready(false));
startOpacity();
startRecord();
target.addEventListener("change", changedTarget);
contrast.addEventListener("change", changedContrast);
model?.addEventListener("change", update);

// On a narrow screen the result is said below what is being changed, while its bars are not seen.
new IntersectionObserver((seen) => {
  areSeen = seen.at(-1).isIntersecting;
  brief();
}).observe(byId("chances"));
