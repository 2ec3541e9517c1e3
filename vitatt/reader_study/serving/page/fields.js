// Fields of the form: choices, sliders, and what is missing.

import { make } from "./elements.js";
import { say } from "./words.js";

// A radio button with its label, large enough for a finger.
export function option(name, value, title) {
  return make(
    "label.option",
    {},
    make("input", { type: "radio", name, value }),
    make("span", {}, title),
  );
}

// A question with one answer of several; `ends` are words below the first and the last.
export function choice(name, title, options, ends = null) {
  const row = make(ends ? "div.options.scale-row" : "div.options", {}, ...options);
  return field(
    name,
    make(
      "fieldset",
      { id: name, role: "radiogroup", "aria-labelledby": `${name}-title`, "aria-required": "true" },
      make("legend", { id: `${name}-title` }, title),
      row,
      ends ? make("p.ends.quiet", {}, ...ends.map((one) => make("span", {}, one))) : null,
    ),
  );
}

// A question with a list to choose from.
export function list(name, title, options) {
  return field(
    name,
    make("label", { for: name }, title),
    make(
      "select",
      { id: name, name },
      make("option", { value: "" }, say("choose")),
      ...options.map((one) => make("option", { value: one.name }, one.title)),
    ),
  );
}

// A slider that has no answer until it is moved or touched.
export function slider(name, title, ends) {
  const output = make("output.number", { for: name }, say("unset"));
  const input = make("input", { id: name, name, type: "range", min: 0, max: 100, step: 1, value: 50 });
  const set = () => {
    input.dataset.set = "true";
    output.textContent = input.value;
    input.setAttribute("aria-valuetext", input.value);
  };
  input.setAttribute("aria-valuetext", say("unset"));
  input.addEventListener("input", set);
  input.addEventListener("pointerup", () => {
    if (input.disabled) return;
    set();
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      set();
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
  return field(
    name,
    make("div.line", {}, make("label", { for: name }, title), output),
    input,
    make("p.ends.quiet", {}, ...ends.map((one) => make("span", {}, one))),
  );
}

// Sets a slider as if it had been moved there.
export function setSlider(input, value) {
  input.value = value;
  input.dispatchEvent(new Event("input"));
}

// Names what is missing beside each field, and all of it at the top for those who do not see.
export function showMissing(form, summary, missing) {
  for (const one of form.querySelectorAll(".question")) {
    const message = missing[one.dataset.name] ?? "";
    one.querySelector(".problem").textContent = message;
    const control = one.querySelector("fieldset, select, input");
    if (message) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
  const names = Object.keys(missing);
  if (!names.length) {
    summary.replaceChildren();
    return;
  }
  const links = names.map((name) => {
    const link = make("a", { href: `#${name}` }, missing[name]);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const target = form.querySelector(`#${name}`);
      (target.matches("fieldset") ? target.querySelector("input") : target).focus();
    });
    return make("li", {}, link);
  });
  summary.replaceChildren(say("missing_title"), make("ul", {}, ...links));
  summary.focus();
}

function field(name, ...inside) {
  const error = make("p.problem", { id: `${name}-error` });
  const made = make("div.question", { "data-name": name }, ...inside, error);
  made.querySelector("fieldset, select, input").setAttribute("aria-describedby", error.id);
  return made;
}
