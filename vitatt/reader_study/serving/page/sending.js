// Sends answers until the server has acknowledged them, or says that they cannot be taken.

import { make } from "./elements.js";
import { ask } from "./server.js";
import { base } from "./settings.js";
import { say } from "./words.js";

const LONGEST = 30; // seconds between two tries

// Resolves to `recorded`, to `moved` if another case is due, or to a `message`. Answers carry their
// own number, so that a second try after a lost acknowledgment does not count twice.
export async function sendAnswers(answers, place) {
  for (let wait = 1; ; wait = Math.min(LONGEST, 2 * wait)) {
    place.textContent = say("sending");
    try {
      const recorded = await ask(`${base}/answers`, answers);
      place.replaceChildren();
      return { recorded };
    } catch (error) {
      if (error.status === undefined) throw error;
      if (error.status === 409 || error.status === 404) return { moved: true };
      if (error.status !== 0 && error.status < 500) {
        place.replaceChildren();
        return { message: error.message };
      }
      await rest(wait, error.message, place);
    }
  }
}

// Waits, or until the reader asks to send now.
function rest(seconds, reason, place) {
  return new Promise((resolve) => {
    const button = make("button", { type: "button" }, say("send_now"));
    place.replaceChildren(make("p.problem", {}, say("kept", { reason, seconds })), button);
    const timer = setTimeout(resolve, 1000 * seconds);
    button.addEventListener("click", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
