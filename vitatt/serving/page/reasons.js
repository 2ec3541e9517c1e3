// Reasons of a result: the map over the pictures, and the answers for and against.

import { shownAnswer } from "./answers.js";
import { byId, make } from "./elements.js";
import { evidenceBar, mostOf } from "./evidence.js";
import { strongest } from "./map_place.js";
import { mapped, shownPictures } from "./pictures.js";
import { classes, features, percent, say, wholePercent } from "./words.js";

// Shows the evidence of a what-if answer.
export function showEvidence({ evidence, target, contrast }) {
  const found = Object.entries(evidence).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  if (!found.length) {
    byId("evidence").replaceChildren(make("p.quiet", {}, say("evidence_none")));
    return;
  }
  const most = mostOf(evidence);
  const names = { target: classes[target], contrast: classes[contrast] };
  const heads = [say("feature"), say("answer"), say("direction")];
  byId("evidence").replaceChildren(
    make(
      "table.bars.evidence",
      {},
      make("caption", {}, contrast ? say("evidence_contrast", names) : say("evidence", names)),
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...found.map(([name, value]) => evidenceRow(name, value, most))),
    ),
    make("p.quiet", {}, say("evidence_hint")),
  );
}

function evidenceRow(name, value, most) {
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, features[name] ?? name),
    make("td", {}, shownAnswer(name) ?? ""),
    make("td", {}, ...evidenceBar(value, most)),
  );
}

// Shows the maps of an explanation over the pictures.
export async function showMaps(explained, title) {
  const parts = shownPictures().map(async ([view, address]) => {
    const overlay = explained.pictures[view] ?? null;
    const named = view === "image" ? say("share_picture") : view;
    const place = overlay ? await strongest(overlay) : "";
    const alts = {
      photo: say("photo_alt", { view: named }),
      map: say("map_alt", { view: named, place }),
    };
    const share = explained.view_shares[view];
    const caption = [
      view === "image" ? "" : view,
      share === undefined ? "" : percent(share),
      overlay ? "" : say("flat_map"),
    ];
    return make(
      "figure",
      {},
      mapped(view, address, overlay, alts),
      make("figcaption", {}, caption.filter(Boolean).join(" · ")),
    );
  });
  byId("maps").replaceChildren(...(await Promise.all(parts)));
  byId("map-tools").hidden = false;
  byId("shares").textContent = [
    explained.image_share === null ? "" : say("shares", { shares: shares(explained) }),
    say("mapped_by", { method: title }),
  ].join(" ");
}

export function showNoMaps() {
  byId("maps").replaceChildren(make("p.quiet", {}, say("no_map")));
  byId("map-tools").hidden = true;
  byId("shares").textContent = "";
}

export function startOpacity() {
  const slider = byId("opacity");
  const fade = () => {
    document.documentElement.style.setProperty("--opacity", slider.value / 100);
    byId("opacity-text").value = wholePercent(slider.value / 100);
  };
  slider.addEventListener("input", fade);
  fade();
}

function shares({ image_share: image }) {
  return `${say("share_picture")} ${percent(image)}, ${say("share_answers")} ${percent(1 - image)}`;
}
