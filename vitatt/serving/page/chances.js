// Probabilities of the classes, of one model or of several side by side.

import { bar, byId, make } from "./elements.js";
import { classes, features, models, percent, positive, say } from "./words.js";

const NOTABLE = 0.005; // a change that is shown

let before = []; // the last result that was another one
let now = [];

// Shows predictions in the order of the models; those before the last change are marked.
export function showChances(predictions) {
  if (differ(now, predictions)) {
    before = now;
    now = predictions;
  }
  const mean = (name) => predictions.reduce((sum, one) => sum + one.probabilities[name], 0);
  const order = Object.keys(classes).sort((a, b) => mean(b) - mean(a));
  const rows = order.map((name) =>
    make(
      "tr",
      {},
      make(
        "th",
        { scope: "row" },
        `${classes[name]} `,
        name === positive ? make("span.tag", {}, say("worst")) : null,
      ),
      ...predictions.map((one, index) => chance(one, before[index], name)),
    ),
  );
  const several = models.length > 1;
  const columns = several ? models.map((one) => one.name) : [say("probability")];
  byId("chances").replaceChildren(
    make(
      `table.bars.chances${several ? ".several" : ""}`,
      {},
      make("caption", {}, say("chances")),
      make(
        "thead",
        {},
        make("tr", {}, ...[say("diagnosis"), ...columns].map((name) => make("th", { scope: "col" }, name))),
      ),
      make("tbody", {}, ...rows),
    ),
  );
  showMissing(predictions);
}

export const forgetChances = () => {
  before = [];
  now = [];
  byId("chances").replaceChildren();
  byId("missing").replaceChildren();
};

// Says the result in a sentence for each model.
export function inWords(predictions) {
  const sentences = predictions.map((one) => {
    const diagnosis = classes[one.predicted];
    const values = { model: one.model, diagnosis, chance: percent(one.probabilities[one.predicted]) };
    return models.length > 1 ? say("said_of", values) : say("said", values);
  });
  return sentences.join(" ");
}

// Another class or model to explain leaves the probabilities as they are.
const differ = (some, others) =>
  some.length !== others.length ||
  others.some((one, index) =>
    Object.entries(one.probabilities).some(
      ([name, value]) => Math.abs(value - some[index].probabilities[name]) > 1e-9,
    ),
  );

function chance(prediction, earlier, name) {
  const value = prediction.probabilities[name];
  const old = earlier?.probabilities[name];
  const moved = old !== undefined && Math.abs(value - old) >= NOTABLE;
  const track = make("div.track", { "aria-hidden": "true" }, bar(value, "chance"));
  if (moved) {
    const mark = make("div.mark");
    mark.style.left = `${100 * old}%`;
    track.append(mark);
  }
  return make(
    prediction.predicted === name ? "td.predicted" : "td",
    {},
    make("div.value", {}, track, make("span.number", {}, percent(value))),
    moved ? make("small.quiet", {}, say("was", { before: percent(old) })) : null,
  );
}

// Names what is not recorded, once if it is the same for all models.
function showMissing(predictions) {
  const named = ({ missing }) => missing.map((name) => features[name] ?? name).join(", ");
  const same = new Set(predictions.map(named)).size === 1;
  const lines = same
    ? [say("missing", { features: named(predictions[0]) })]
    : predictions.map((one) => {
        const values = { model: one.model, features: named(one) };
        return values.features ? say("missing_of", values) : say("missing_none_of", values);
      });
  const complete = same && !named(predictions[0]);
  byId("missing").replaceChildren(
    ...(complete ? [say("missing_none")] : lines).map((line) => make("p.quiet", {}, line)),
  );
}
