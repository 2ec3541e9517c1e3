// The choice of the language, without leaving the page, so that the case stays.

import { askText } from "./server.js";
import { speak } from "./words.js";

const WORDS = ["alt", "aria-current", "aria-label", "lang", "placeholder"];

// Calls `changed` when the page speaks another language, and `failed` with the reason if it cannot.
export function startLanguages(changed, failed) {
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", async (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab or window
      event.preventDefault();
      try {
        const html = await askText(link.getAttribute("href"));
        const other = new DOMParser().parseFromString(html, "text/html");
        speak(JSON.parse(other.body.dataset.page));
        translate(document.documentElement, other.documentElement);
        history.replaceState(null, "", link.href);
        changed();
      } catch (error) {
        failed(error);
      }
    });
  }
}

// Takes the words of the same page in another language; what scripts have written stays.
function translate(now, other) {
  for (const name of WORDS) {
    const value = other.getAttribute(name);
    if (value === null) now.removeAttribute(name);
    else now.setAttribute(name, value);
  }
  if (now.hasAttribute("data-written")) return;
  const others = [...other.childNodes];
  for (const [index, one] of [...now.childNodes].slice(0, others.length).entries()) {
    if (one.nodeType === Node.TEXT_NODE) one.data = others[index].data;
    else if (one.nodeType === Node.ELEMENT_NODE) translate(one, others[index]);
  }
}
