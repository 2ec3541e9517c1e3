// Which answers, if known, would change the result most.

import { goTo, shownValue } from "./answers.js";
import { bar, byId, make } from "./elements.js";
import { classes, features, number, percent, say } from "./words.js";

const SHOWN = 6;

export function showQuestions({ questions }) {
  if (!questions.length) {
    byId("questions").replaceChildren(make("p.quiet", {}, say("open_none")));
    return;
  }
  byId("questions").replaceChildren(
    make("ol.questions", {}, ...questions.slice(0, SHOWN).map(question)),
  );
}

function question({ feature, answer, change, predicted, probability }) {
  const label = features[feature] ?? feature;
  const button = make("button", { type: "button", "aria-label": `${say("ask")}: ${label}` }, say("ask"));
  button.addEventListener("click", () => goTo(feature));
  const shown = typeof answer === "number" ? number(answer) : shownValue(feature, answer);
  const outcome = { answer: shown, diagnosis: classes[predicted], chance: percent(probability) };
  return make(
    "li",
    {},
    make(
      "div",
      {},
      make("strong", {}, label),
      make("div.track", { "aria-hidden": "true" }, bar(change)),
      make("small", {}, `${say("open_change", { change: percent(change) })}; ${say("open_line", outcome)}`),
    ),
    button,
  );
}
