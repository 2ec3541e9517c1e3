// The page of a case in an arm: images, patient, AI, questions.

import { aiPanel, patientPanel } from "./case_panels.js";
import { makeDraft } from "./drafts.js";
import { byId, make } from "./elements.js";
import { showMissing } from "./fields.js";
import { fillForm, formAnswers, missingAnswers, questions } from "./form.js";
import { imagePanel } from "./images.js";
import { startClock, stopClock } from "./pausing.js";
import { sendAnswers } from "./sending.js";
import { arrive } from "./stages.js";
import { classes, say } from "./words.js";

let item = null;

// Returns the opaque name of the case that is shown.
export const shownItem = () => item;

// Shows the case that is due; `next` is called when it is recorded.
export function showCase(now, next) {
  const one = now.case;
  const isPractice = now.stage === "practice";
  item = one.item;
  const draft = makeDraft(one);
  const images = imagePanel(one, draft.drawing, () => draft.keep({ drawing: images.marks() }));
  const form = make(
    "form.panel.answers",
    { novalidate: true, autocomplete: "off", "aria-labelledby": "answer-title" },
    make("h2", { id: "answer-title" }, say("your_answer")),
    one.before ? make("p.quiet", {}, say("before", { diagnosis: classes[one.before.diagnosis] })) : null,
    ...questions(one),
    make("p.quiet", {}, say("submit_hint")),
    make("button.primary", { id: "submit" }, say("submit")),
    make("div.sending", { role: "status" }),
  );
  const patient = patientPanel(one);
  const side = make("div.side", {}, patient, aiPanel(one), form);
  const { heading, head } = titles(one, isPractice);
  byId("stage").replaceChildren(head, make("div.case", { "data-item": item }, images.panel, side));
  const fields = [form, patient]; // ticks lie beside the patient's answers
  fillForm(fields, draft.answers);
  arrive(heading);

  const keep = () => draft.keep({ answers: formAnswers(fields, one) });
  for (const part of fields) {
    part.addEventListener("input", keep);
    part.addEventListener("change", keep);
  }
  images.loaded.then(
    () => item === one.item && startClock(one.item, draft),
    () => {}, // the panel says that an image is missing
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const missing = missingAnswers(fields, one);
    showMissing(form, byId("problem"), missing);
    if (Object.keys(missing).length) return;
    stopClock();
    const answers = {
      ...formAnswers(fields, one),
      item: one.item,
      submission_id: draft.id,
      seconds: draft.seconds,
      drawing: images.drawing(),
    };
    freeze(true);
    const sent = await sendAnswers(answers, form.querySelector(".sending"));
    if (sent.recorded) {
      draft.forget();
      item = null;
      if (sent.recorded.feedback) showFeedback(form, sent.recorded.feedback, answers, next);
      else next();
    } else if (sent.moved) {
      draft.forget();
      item = null;
      next(say("answered_elsewhere"));
    } else {
      byId("problem").textContent = sent.message;
      byId("problem").focus();
      freeze(false);
      startClock(one.item, draft);
    }
  });

  // While answers are sent, they stay as they are.
  function freeze(isFrozen) {
    for (const part of [patient, images.panel]) part.inert = isFrozen;
    for (const field of form.querySelectorAll("fieldset, select, input, #submit")) {
      field.disabled = isFrozen;
    }
    byId("pause").hidden = isFrozen;
  }
}

function titles({ arm, place }, isPractice) {
  const title = isPractice ? say("practice_case", place) : say("case", place);
  const more = [
    place.steps > 1 ? say("step", place) : "",
    !isPractice && place.periods > 1 ? say("part", place) : "",
    arm,
  ];
  const heading = make("h1", { tabindex: -1 }, title);
  const done = place.position - 1 + (place.step - 1) / place.steps;
  const head = make(
    "div.head",
    {},
    make("div.line", {}, heading, make("p.quiet", {}, more.filter(Boolean).join(" · "))),
    make("progress", { max: place.of, value: done, "aria-label": say("progress") }),
    isPractice ? make("p.notice", {}, say("practice")) : null,
  );
  return { heading, head };
}

// After practice, the true diagnosis takes the place of the form.
function showFeedback(form, { truth, predicted }, { diagnosis }, next) {
  const button = make("button.primary", { type: "button", id: "next" }, say("next"));
  button.addEventListener("click", () => next());
  const heading = make("h2", { tabindex: -1 }, say("feedback_title"));
  const mark = truth === diagnosis ? "✓" : "✗";
  form.replaceWith(
    make(
      "section.panel.strong",
      { id: "feedback" },
      heading,
      make("p.truth", {}, say("feedback_truth", { diagnosis: classes[truth] })),
      make("p", {}, `${mark} ${say("feedback_yours", { diagnosis: classes[diagnosis] })}`),
      predicted ? make("p", {}, say("feedback_ai", { diagnosis: classes[predicted] })) : null,
      button,
    ),
  );
  heading.focus();
  byId("problem").replaceChildren();
}
