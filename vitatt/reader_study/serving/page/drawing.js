// Drawing where the evidence lies: boxes and brush strokes, by mouse, finger, pen or keyboard.

import { make } from "./elements.js";
import { box, brushRadius, encoded, paint, rasterised } from "./marks.js";
import { study } from "./settings.js";
import { say, wholePercent } from "./words.js";

const LEAST = 0.01; // side of a box, as a share of the image
const KEYED = { kind: "box", x: 0.4, y: 0.4, width: 0.2, height: 0.2 };

// Returns the tools of an image; `changed` is called after every mark.
export function drawingTools(frame, before, changed) {
  let marks = before;
  let tool = "look";
  let drawn = null; // the mark that is being drawn
  const past = [];
  const canvas = make("canvas.drawing", { "aria-hidden": "true" });
  const said = make("output.said.quiet", {});
  frame.append(canvas);

  function set(next, isNew = true) {
    if (isNew) past.push(marks);
    marks = next;
    show();
    changed();
  }

  function show() {
    paint(canvas, drawn ? [...marks, drawn] : marks);
    undo.disabled = past.length === 0;
    clear.disabled = marks.length === 0;
    const boxes = marks.filter((one) => one.kind === "box").length;
    const counts = { boxes, strokes: marks.length - boxes };
    said.textContent = marks.length ? say("drawn", counts) : say("drawn_nothing");
  }

  const point = (event) => {
    const area = canvas.getBoundingClientRect();
    const share = (value) => Math.min(1, Math.max(0, value));
    return [
      share((event.clientX - area.left) / area.width),
      share((event.clientY - area.top) / area.height),
    ];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    const start = point(event);
    drawn = tool === "box" ? box(start, start) : { kind: "brush", radius: brushRadius, points: [start] };
    drawn.start = start;
    show();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawn || !event.isPrimary) return;
    const { start } = drawn;
    if (drawn.kind === "box") drawn = { ...box(start, point(event)), start };
    else for (const one of event.getCoalescedEvents?.() ?? [event]) drawn.points.push(point(one));
    show();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drawn || !event.isPrimary) return;
    const { start, ...mark } = drawn;
    drawn = null;
    const isTooSmall = mark.kind === "box" && Math.min(mark.width, mark.height) < LEAST;
    if (!isTooSmall) set([...marks, mark]);
    else {
      show();
      said.textContent = say("too_small");
    }
  });
  canvas.addEventListener("pointercancel", () => {
    drawn = null;
    show();
  });
  new ResizeObserver(show).observe(frame);

  const undo = make("button", { type: "button" }, say("undo"));
  const clear = make("button", { type: "button" }, say("clear"));
  undo.addEventListener("click", () => set(past.pop(), false));
  clear.addEventListener("click", () => set([]));

  const names = { look: say("tool_look"), box: say("tool_box"), brush: say("tool_brush") };
  const offered = ["look", ...(study.ask.drawing === "both" ? ["box", "brush"] : [study.ask.drawing])];
  const radios = offered.map((name) => {
    const radio = make("input", { type: "radio", name: "tool", value: name, checked: name === tool });
    radio.addEventListener("change", () => {
      tool = name;
      canvas.classList.toggle("active", tool !== "look");
    });
    return make("label.tool", {}, radio, make("span", {}, names[name]));
  });
  const tools = make(
    "div.group",
    {},
    make("div.group", { role: "radiogroup", "aria-label": say("tool") }, ...radios),
    make("div.group", {}, undo, clear),
  );
  show();
  return {
    tools,
    said,
    keys: study.ask.drawing === "brush" ? null : boxKeys(() => marks, set),
    marks: () => marks,
    drawing() {
      if (!marks.length) return null;
      const shape = marks.some((one) => one.kind === "brush") ? "brush" : "box";
      const photo = frame.querySelector("img");
      return { shape, mask: encoded(rasterised(marks, photo.naturalWidth / photo.naturalHeight)) };
    },
  };
}

// A box by four sliders, for those who do not use a pointer.
function boxKeys(marks, set) {
  const titles = {
    x: say("box_x"),
    y: say("box_y"),
    width: say("box_width"),
    height: say("box_height"),
  };
  const sliders = Object.entries(titles).map(([side, title]) => {
    const input = make("input", { type: "range", min: 0, max: 100, step: 1, disabled: true });
    const output = make("output.number", {});
    input.dataset.side = side;
    const tell = () => (output.textContent = wholePercent(input.value / 100));
    input.addEventListener("input", () => {
      tell();
      const last = marks().at(-1);
      if (last?.kind === "box") set([...marks().slice(0, -1), moved(last, side, input.value / 100)]);
    });
    return { side, input, tell, row: make("label.fade", {}, title, input, output) };
  });
  const add = make("button", { type: "button" }, say("box_add"));
  add.addEventListener("click", () => {
    set([...marks(), { ...KEYED }]);
    for (const { side, input, tell } of sliders) {
      input.disabled = false;
      input.value = 100 * KEYED[side];
      tell();
    }
    sliders[0].input.focus();
  });
  return make(
    "details.keys",
    {},
    make("summary", {}, say("box_keys")),
    add,
    ...sliders.map(({ row }) => row),
  );
}

// A box with another value of a side, still within the image.
function moved(old, side, value) {
  const next = { ...old, [side]: value };
  next.width = Math.max(LEAST, Math.min(next.width, 1 - Math.min(next.x, 1 - LEAST)));
  next.height = Math.max(LEAST, Math.min(next.height, 1 - Math.min(next.y, 1 - LEAST)));
  next.x = Math.min(next.x, 1 - next.width);
  next.y = Math.min(next.y, 1 - next.height);
  return next;
}
