// Pages without a case: consent, profile, wash-out, and the ends of the study.

import { byId, make } from "./elements.js";
import { option } from "./fields.js";
import { ask } from "./server.js";
import { base, study } from "./settings.js";
import { language, say } from "./words.js";

const PAGES = { consent, profile, locked, finished, ended, withdrawn };

export function loading() {
  byId("stage").replaceChildren(make("p.quiet", {}, say("loading")));
}

// Shows a page; `next` is called after a step that was recorded.
export function showStage(now, next) {
  put(...PAGES[now.stage](now, next));
}

// Puts a page in place, and the reader at its beginning.
export function put(title, ...inside) {
  const heading = make("h1", { tabindex: -1 }, title);
  byId("stage").replaceChildren(make("section.panel.narrow", {}, heading, ...inside));
  arrive(heading);
}

// A screen reader goes on at the heading of what is new.
export function arrive(heading) {
  document.title = `${heading.textContent} – ${say("title")}`;
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

function consent(now, next) {
  const { text: written, version, language: code } = study.consent;
  const box = make("input", { type: "checkbox", id: "agree", "aria-describedby": "agree-error" });
  const error = make("p.problem", { id: "agree-error", role: "alert" });
  const form = make(
    "form",
    { novalidate: true },
    make("label.option", { for: "agree" }, box, make("span", {}, say("consent_check"))),
    error,
    make("button.primary", {}, say("begin")),
  );
  step(form, next, () => {
    if (!box.checked) {
      error.textContent = say("consent_needed");
      box.focus();
      return null;
    }
    return ask(`${base}/consent`, { version, language: code });
  });
  const paragraphs = written.split(/\n\s*\n/).map((one) => make("p", {}, one.trim()));
  return [say("consent_title"), make("div.consent", { lang: code }, ...paragraphs), form];
}

function profile(now, next) {
  const error = make("p.problem", { id: "experience-error", role: "alert" });
  const legend = make("legend", { id: "experience-legend" }, say("profile_ask"));
  const form = make(
    "form",
    { novalidate: true },
    make(
      "fieldset",
      {
        role: "radiogroup",
        "aria-labelledby": "experience-legend",
        "aria-describedby": "experience-error",
      },
      legend,
      ...study.experience.map((one) => option("experience", one.name, one.title)),
      error,
    ),
    make("button.primary", {}, say("go_on")),
  );
  step(form, next, () => {
    const experience = new FormData(form).get("experience");
    if (!experience) {
      error.textContent = say("missing_management");
      form.querySelector("input").focus();
      return null;
    }
    return ask(`${base}/profile`, { experience });
  });
  return [say("profile_title"), make("p.quiet", {}, say("profile_hint")), form];
}

function locked({ opens }) {
  const shown = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });
  return [say("locked_title"), make("p", {}, say("locked", { time: shown.format(new Date(opens)) }))];
}

function finished() {
  return [say("finished_title"), make("p", {}, say("finished"))];
}

function ended() {
  return [say("ended_title"), make("p", {}, say("ended"))];
}

function withdrawn({ excluded }) {
  const words = excluded ? say("withdrawn_excluded") : say("withdrawn_kept");
  return [say("withdrawn_title"), make("p", {}, words)];
}

// Takes a step when a form is sent; `send` returns null for a form that is not complete.
function step(form, next, send) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const sent = send();
    if (!sent) return;
    try {
      await sent;
    } catch (error) {
      if (error.status === undefined) throw error;
      if (error.status !== 409) {
        byId("problem").textContent = error.message;
        return;
      }
    }
    next();
  });
}
