// Images of a case: zoom, the AI's map with its opacity, and drawing on the first of them.

import { drawingTools } from "./drawing.js";
import { make } from "./elements.js";
import { strongest } from "./map_place.js";
import { study } from "./settings.js";
import { say, wholePercent } from "./words.js";

const ZOOMS = [1, 1.5, 2, 3, 4];

// Returns the panel with its marks; `changed` is called when something was drawn.
export function imagePanel(one, marks, changed) {
  const shown = one.images.map((image) => viewer(image));
  const zoomed = zoomTools(shown);
  const drawing = study.ask.drawing ? drawingTools(shown[0].frame, marks, changed) : null;
  const hasMap = one.images.some((image) => image.map);
  const panel = make(
    "section.panel.images",
    { "aria-labelledby": "image-title" },
    make("h2", { id: "image-title" }, say("image")),
    drawing ? make("p.quiet", {}, say("draw"), shown.length > 1 ? ` ${say("draw_first")}` : "") : null,
    make("div.tools", {}, zoomed, drawing?.tools ?? null),
    ...shown.map(({ figure }) => figure),
    drawing?.said ?? null,
    hasMap ? opacityTools() : null,
    drawing?.keys ?? null,
  );
  return {
    panel,
    loaded: Promise.all(shown.map(({ loaded }) => loaded)),
    marks: () => drawing?.marks() ?? [],
    drawing: () => drawing?.drawing() ?? null,
  };
}

function viewer({ view, address, map }) {
  const name = view || say("image");
  const photo = make("img.photo", {
    src: address,
    alt: view ? say("image_alt", { view }) : say("image_of"),
    draggable: "false",
  });
  const overlay = map ? make("img.overlay", { src: map, alt: "", draggable: "false" }) : null;
  const frame = make("div.frame", {}, photo, overlay);
  const box = make("div.viewer", { tabindex: 0, role: "region", "aria-label": name }, frame);
  const figure = make("figure", {}, box, view ? make("figcaption", {}, view) : null);
  const loaded = Promise.all([photo, overlay].filter(Boolean).map((image) => image.decode())).then(
    () => frame.style.setProperty("--aspect", photo.naturalWidth / photo.naturalHeight),
    (error) => {
      const again = make("button", { type: "button" }, say("again"));
      again.addEventListener("click", () => location.reload());
      box.replaceChildren(make("p.problem", { role: "alert" }, say("image_failed"), " ", again));
      throw error;
    },
  );
  if (overlay) {
    strongest(map).then(
      (place) => (overlay.alt = say("map_alt", { place })),
      () => {}, // the image that is missing says so
    );
  }
  return { figure, frame, box, loaded };
}

function zoomTools(shown) {
  let place = 0;
  const output = make("output.number", { "aria-live": "polite" });
  const set = (step) => {
    place = Math.min(ZOOMS.length - 1, Math.max(0, place + step));
    for (const { frame, box } of shown) {
      // The point in the middle stays there.
      const [x, y] = [box.scrollLeft + box.clientWidth / 2, box.scrollTop + box.clientHeight / 2];
      const before = frame.clientWidth || 1;
      frame.style.setProperty("--zoom", ZOOMS[place]);
      const scale = frame.clientWidth / before;
      box.scrollTo(x * scale - box.clientWidth / 2, y * scale - box.clientHeight / 2);
    }
    output.textContent = wholePercent(ZOOMS[place]);
    smaller.disabled = place === 0;
    larger.disabled = place === ZOOMS.length - 1;
  };
  const smaller = make("button", { type: "button", "aria-label": say("zoom_out") }, "−");
  const larger = make("button", { type: "button", "aria-label": say("zoom_in") }, "+");
  smaller.addEventListener("click", () => set(-1));
  larger.addEventListener("click", () => set(1));
  set(0);
  return make("div.group", { role: "group", "aria-label": say("zoom") }, smaller, output, larger);
}

function opacityTools() {
  const slider = make("input", { id: "opacity", type: "range", min: 0, max: 100, step: 5, value: 60 });
  const output = make("output.number", { for: "opacity" });
  const fade = () => {
    document.documentElement.style.setProperty("--opacity", slider.value / 100);
    output.textContent = wholePercent(slider.value / 100);
  };
  slider.addEventListener("input", fade);
  fade();
  return make(
    "div",
    {},
    make("label.fade", { for: "opacity" }, say("opacity"), slider, output),
    make(
      "p.scale.quiet",
      {},
      make("span", {}, say("low")),
      make("span.ramp"),
      make("span", {}, say("high")),
    ),
  );
}
