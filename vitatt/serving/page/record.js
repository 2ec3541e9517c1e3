// The case as a record, to print or to save as one file that needs nothing else.

import { shownAnswer } from "./answers.js";
import { byId, make } from "./elements.js";
import { features, language, models, say, version } from "./words.js";

const SIDE = 1024; // of saved pictures, in pixels
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

export function startRecord() {
  byId("save").addEventListener("click", async () => {
    await loaded();
    download(await file());
  });
  byId("print").addEventListener("click", async () => {
    await loaded();
    fill();
    print();
  });
  addEventListener("beforeprint", fill); // by the browser's own menu, which does not wait
}

// What was recorded does not hold any more.
export const clearRecord = () => byId("record").replaceChildren();

// Fills the record of this page, which only print shows.
function fill() {
  const isReady = !byId("print").disabled; // result, map and answers belong together
  const shown = isReady ? content() : [make("p.notice", {}, say("not_ready"))];
  byId("record").replaceChildren(...shown);
}

function loaded() {
  const photos = [...document.querySelectorAll("#maps .photo")];
  return Promise.allSettled(photos.map((one) => one.decode()));
}

function content() {
  const now = new Date();
  const maps = [...byId("maps").querySelectorAll("figure")].map(figure);
  const facts = [
    [say("record_date"), now.toLocaleString(language)],
    [models.length > 1 ? say("models") : say("model"), models.map((one) => one.name).join(", ")],
    [say("record_dataset"), models[0].dataset],
    [say("record_fold"), [...new Set(models.map((one) => one.fold))].join(", ")],
    [say("record_version"), `vitatt ${version}`],
  ];
  const given = Object.entries(features).map(([name, label]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, label),
      make("td", {}, shownAnswer(name) ?? say("not_recorded")),
    ),
  );
  return [
    make("h1", {}, `${say("record")} · vitatt`),
    make("p.notice", {}, make("strong", {}, say("notice")), ` ${say("notice_more")}`),
    make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    make("h2", {}, say("result")),
    ...copies("#chances > *, #missing > *"),
    make("h2", {}, say("why")),
    make("div.figures", {}, ...maps),
    ...copies("#shares"),
    ...copies("#evidence > *"),
    make("h2", {}, say("record_answers")),
    make("table.plain", {}, make("tbody", {}, ...given)),
  ];
}

// A picture without and with its map.
function figure(one) {
  const photo = one.querySelector(".photo");
  const overlay = one.querySelector(".overlay");
  const picture = pixels(photo);
  const bare = make("div.frame", {}, make("img.photo", { src: picture, alt: photo.alt }));
  const title = [say("record_picture")];
  const shown = [bare];
  if (overlay) {
    shown.push(
      make(
        "div.frame",
        {},
        make("img.photo", { src: picture, alt: "" }),
        make("img.overlay", { src: overlay.src, alt: overlay.alt }),
      ),
    );
    title.push(say("record_map"));
  }
  const caption = [one.querySelector("figcaption").textContent, title.join(", ")];
  return make(
    "figure",
    {},
    make("div.pair", {}, ...shown),
    make("figcaption", {}, caption.filter(Boolean).join(": ")),
  );
}

// A picture as a data address, upright and without what a camera writes beside it.
function pixels(photo) {
  if (!photo.naturalWidth) return photo.src;
  const scale = Math.min(1, SIDE / Math.max(photo.naturalWidth, photo.naturalHeight));
  const canvas = make("canvas", {
    width: Math.round(scale * photo.naturalWidth),
    height: Math.round(scale * photo.naturalHeight),
  });
  canvas.getContext("2d").drawImage(photo, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.9);
}

const copies = (selector) =>
  [...document.querySelectorAll(selector)].map((one) => {
    const copy = one.cloneNode(true);
    copy.removeAttribute("id");
    return copy;
  });

async function file() {
  const styles = await Promise.all(
    ["tables.css", "record.css"].map(async (name) => (await fetch(`/static/${name}`)).text()),
  );
  const body = make("body", {}, make("article.record", {}, ...content()));
  return [
    `<!doctype html><html lang="${language}"><head><meta charset="utf-8">`,
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${say("record")}</title><style>${styles.join("\n")}</style></head>`,
    `${body.outerHTML}</html>`,
  ].join("\n");
}

function download(html) {
  const day = new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-");
  const address = URL.createObjectURL(new Blob([html], { type: "text/html" }));
  make("a", { href: address, download: `case-${day}.html` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
