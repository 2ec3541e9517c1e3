// The patient's answers and the output of the AI, as far as the arm shows them.

import { bar, make } from "./elements.js";
import { evidenceBar, mostOf } from "./evidence.js";
import { study } from "./settings.js";
import { classes, percent, say } from "./words.js";

export function patientPanel(one) {
  const { evidence } = one;
  const heads = [say("question"), say("answer"), ...(evidence ? [say("direction")] : [])];
  const most = evidence ? mostOf(evidence) : 1;
  const known = study.questions.filter(({ name }) => name in one.answers);
  const unknown = study.questions.filter(({ name }) => !(name in one.answers));
  const features = unknown.map(({ title }) => title).join(", ");
  return make(
    "section.panel",
    { "aria-labelledby": "patient-title" },
    make("h2", { id: "patient-title" }, say("patient")),
    study.ask.features ? make("p.quiet", { id: "tick-hint" }, say("tick")) : null,
    make(
      evidence ? "table.bars.evidence" : "table.bars",
      { "aria-labelledby": "patient-title" },
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...known.map((question) => row(question, one, most))),
    ),
    features ? make("p.quiet", {}, say("not_recorded", { features })) : null,
    evidence ? make("p.quiet", {}, say("evidence_hint")) : null,
  );
}

export function aiPanel({ probabilities, predicted }) {
  if (!probabilities) return null;
  const order = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  const heads = [say("diagnosis_head"), say("probability")];
  return make(
    "section.panel",
    { "aria-labelledby": "ai-title" },
    make("h2", { id: "ai-title" }, say("ai_title")),
    make("p.quiet", {}, say("ai_hint")),
    make(
      "table.bars.chances",
      { "aria-labelledby": "ai-title" },
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make(
        "tbody",
        {},
        ...order.map(([name, value]) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, classes[name]),
            make(
              name === predicted ? "td.predicted" : "td",
              {},
              make(
                "div.value",
                {},
                make("div.track", { "aria-hidden": "true" }, bar(value, "chance")),
                make("span.number", {}, percent(value)),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

function row({ name, title }, { answers, evidence }, most) {
  const box = { type: "checkbox", name: "features", value: name, "aria-describedby": "tick-hint" };
  const label = study.ask.features
    ? make("label.tick", {}, make("input", box), make("span", {}, title))
    : title;
  const value = evidence?.[name];
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, label),
    make("td", {}, answers[name]),
    evidence ? make("td", {}, ...(value === undefined ? [""] : evidenceBar(value, most))) : null,
  );
}
