// The questions of a case, their answers, and which are missing.

import { choice, list, option, setSlider, slider } from "./fields.js";
import { study } from "./settings.js";
import { say } from "./words.js";

const RANKS = ["diagnosis", "second", "third"];
const TRUST = [1, 2, 3, 4, 5];

export function questions(one) {
  const { ask } = study;
  const options = (name, list) => list.map((each) => option(name, each.name, each.title));
  const found = [];
  if (ask.top === 1) {
    found.push(choice("diagnosis", say("diagnosis"), options("diagnosis", study.diagnoses)));
  } else {
    const titles = [say("rank_1"), say("rank_2"), say("rank_3")];
    found.push(...RANKS.map((name, place) => list(name, titles[place], study.diagnoses)));
  }
  if (ask.confidence) {
    const ends = [say("confidence_low"), say("confidence_high")];
    const title = ask.top === 1 ? say("confidence") : say("confidence_first");
    found.push(slider("confidence", title, ends));
  }
  if (ask.management) {
    found.push(choice("management", say("management"), options("management", study.management)));
  }
  if (asksTrust(one)) {
    const ends = [say("trust_low"), say("trust_high")];
    found.push(choice("trust", say("trust"), TRUST.map((value) => option("trust", value, value)), ends));
  }
  return found;
}

// Returns the answers so far, in the words of the server; null for one that is not given.
export function formAnswers(parts, one) {
  const answers = { diagnosis: value(parts, "diagnosis"), features: ticks(parts) };
  if (study.ask.top === 3) {
    answers.second = value(parts, "second");
    answers.third = value(parts, "third");
  }
  if (study.ask.confidence) {
    const input = find(parts, "#confidence");
    answers.confidence = input.dataset.set ? Number(input.value) : null;
  }
  if (study.ask.management) answers.management = value(parts, "management");
  if (asksTrust(one)) answers.trust = Number(value(parts, "trust")) || null;
  return answers;
}

// Fills in answers that were given before.
export function fillForm(parts, answers) {
  for (const [name, given] of Object.entries(answers)) {
    if (given === null || given === undefined) continue;
    const field = find(parts, `#${name}`);
    if (name === "features") {
      for (const box of all(parts, "input[name=features]")) box.checked = given.includes(box.value);
    } else if (field?.matches("input[type=range]")) setSlider(field, given);
    else if (field?.matches("select")) field.value = given;
    else if (field) {
      for (const radio of field.querySelectorAll("input")) radio.checked = radio.value === String(given);
    }
  }
}

// Returns a sentence for each question that lacks an answer, by its name.
export function missingAnswers(parts, one) {
  const answers = formAnswers(parts, one);
  const missing = {};
  if (study.ask.top === 3) {
    const ranks = RANKS.map((name) => answers[name]);
    RANKS.forEach((name, place) => {
      if (!ranks[place] || ranks.indexOf(ranks[place]) < place) missing[name] = say("missing_ranks");
    });
  } else if (!answers.diagnosis) missing.diagnosis = say("missing_diagnosis");
  if (answers.confidence === null) missing.confidence = say("missing_confidence");
  if (answers.management === null) missing.management = say("missing_management");
  if (answers.trust === null) missing.trust = say("missing_trust");
  return missing;
}

const asksTrust = (one) => study.ask.trust && one.shows_ai;
const all = (parts, selector) => parts.flatMap((part) => [...part.querySelectorAll(selector)]);
const find = (parts, selector) => all(parts, selector)[0];
const ticks = (parts) => all(parts, "input[name=features]:checked").map((box) => box.value);

function value(parts, name) {
  const field = find(parts, `select#${name}`) ?? find(parts, `input[name=${name}]:checked`);
  return field?.value || null;
}
