// Elements, made without HTML in text.

export const byId = (id) => document.getElementById(id);

// make("td.number", { title: "x" }, "text", otherElement)
export function make(what, attributes = {}, ...inside) {
  const [tag, ...names] = what.split(".");
  const made = document.createElement(tag);
  if (names.length) made.className = names.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...inside.filter((one) => one !== null));
  return made;
}

// A bar of a share of its track; `from` is where it begins.
export function bar(share, name = "", from = 0) {
  const made = make(`div.bar${name ? `.${name}` : ""}`);
  made.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  if (from) made.style.marginLeft = `${100 * from}%`;
  return made;
}
