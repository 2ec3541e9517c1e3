// The evidence of an answer: a bar to either side, and its words.

import { bar, make } from "./elements.js";
import { say, withSign } from "./words.js";

const SMALL = 0.005; // log-odds that are shown as 0

// Returns the log-odds of a full bar, by the evidence of each answer.
export const mostOf = (evidence) => Math.max(1, ...Object.values(evidence).map(Math.abs));

// Returns the bar of a value and its words; `most` is the value of a full bar.
export function evidenceBar(value, most) {
  const way = Math.abs(value) < SMALL ? "neither" : value > 0 ? "for" : "against";
  const words = { for: say("for"), against: say("against"), neither: say("neither") };
  const share = Math.abs(value) / most / 2;
  return [
    make(
      "div.track.two-sided",
      { "aria-hidden": "true" },
      bar(share, way, value > 0 ? 0.5 : 0.5 - share),
    ),
    make("span.number", {}, `${words[way]} ${withSign(value)}`),
  ];
}
