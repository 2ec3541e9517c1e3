// The answers of the form, and errors beside them.

import { byId } from "./elements.js";
import { language } from "./words.js";

const fields = [...document.querySelectorAll(".answer")];
const typing = 250; // milliseconds of rest after which a typed number counts

// Calls `changed` when an answer changes.
export function startAnswers(changed) {
  let timer;
  for (const field of fields) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      if (field.tagName === "SELECT") changed();
      else timer = setTimeout(changed, typing);
    });
  }
  byId("case").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => {
    for (const field of fields) field.value = "";
    changed();
  });
}

// Returns the answers that are given, by column.
export function answers() {
  const given = fields.filter((field) => field.value.trim() !== "");
  return Object.fromEntries(given.map((field) => [field.dataset.feature, written(field)]));
}

// Returns an answer as the person sees it; null for a feature without one.
export function shownAnswer(name) {
  const field = fieldOf(name);
  if (!field || field.value.trim() === "") return null;
  if (field.tagName === "SELECT") return field.selectedOptions[0].textContent;
  return `${field.value.trim()} ${field.dataset.unit}`.trim();
}

// Returns how the form shows a value of the API.
export function shownValue(name, value) {
  const options = [...(fieldOf(name)?.options ?? [])];
  return options.find((one) => one.value === String(value))?.textContent ?? String(value);
}

export function goTo(name) {
  const field = fieldOf(name);
  field.scrollIntoView({ block: "center" });
  field.focus({ preventScroll: true });
}

export function clearErrors() {
  for (const field of fields) {
    field.removeAttribute("aria-invalid");
    errorOf(field).textContent = "";
  }
  byId("problem").textContent = byId("pictures-error").textContent = "";
}

// Shows an error of the API beside the field that it names, or else elsewhere; returns where, or
// null if it is there already, since it would be read out again.
export function showError(message, elsewhere) {
  const name = /^Expected '([^']+)' in the answers/.exec(message)?.[1];
  const field = name && fieldOf(name);
  const place = field ? errorOf(field) : elsewhere;
  if (place.textContent === message) return null;
  clearErrors();
  field?.setAttribute("aria-invalid", "true");
  place.textContent = message;
  return place;
}

const fieldOf = (name) => fields.find((field) => field.dataset.feature === name);
const errorOf = (field) => byId(field.getAttribute("aria-describedby").split(" ")[1]);

// The value as the API takes it: a German decimal comma is a point.
function written(field) {
  const value = field.value.trim();
  const isNumber = field.tagName === "INPUT";
  return isNumber && language === "de" && /^[+-]?\d+,\d+$/.test(value)
    ? value.replace(",", ".")
    : value;
}
