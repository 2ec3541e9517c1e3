// Words of the page in its language, and numbers as it writes them.

const page = JSON.parse(document.body.dataset.page);
export const { text, models, classes, positive, features, version, views, language } = page;

export function say(key, values = {}) {
  return text[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

const share = new Intl.NumberFormat(language, {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const whole = new Intl.NumberFormat(language, { style: "percent" });
const signed = new Intl.NumberFormat(language, {
  signDisplay: "exceptZero",
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});
const plain = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });

export const percent = (value) => share.format(value);
export const wholePercent = (value) => whole.format(value);
export const withSign = (value) => signed.format(value);
export const number = (value) => plain.format(value);
