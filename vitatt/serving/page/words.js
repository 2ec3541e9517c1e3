// Words of the page in its language, and numbers as it writes them.

export let text, models, classes, positive, features, version, language;
let share, whole, signed, plain;

// Takes what the server says in another language.
export function speak(page) {
  ({ text, models, classes, positive, features, version, language } = page);
  const one = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const two = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  share = new Intl.NumberFormat(language, { style: "percent", ...one });
  whole = new Intl.NumberFormat(language, { style: "percent" });
  signed = new Intl.NumberFormat(language, { signDisplay: "exceptZero", ...two });
  plain = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
}

speak(JSON.parse(document.body.dataset.page));

export function say(key, values = {}) {
  return text[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const percent = (value) => share.format(value);
export const wholePercent = (value) => whole.format(value);
export const withSign = (value) => signed.format(value);
export const number = (value) => plain.format(value);
