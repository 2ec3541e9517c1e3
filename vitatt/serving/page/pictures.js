// Zones for pictures: chosen, photographed, dropped, pasted or drawn.

import { pictureAddress } from "./held_case.js";
import { byId, make } from "./elements.js";
import { askFile } from "./server.js";

const zones = [...document.querySelectorAll(".zone")];
const chosen = new Map();
const addresses = new Map();
let latest = 0; // choice of pictures: an example that comes late does not replace a later one

// Calls `changed` with the pictures by view whenever they change, and `failed` with the reason if
// an example cannot be had.
export function startPictures(changed, failed) {
  function put(files) {
    latest += 1;
    for (const [view, file] of files) {
      if (file) chosen.set(view, file);
      else chosen.delete(view);
    }
    changed(chosen);
    for (const view of files.keys()) show(zones.find((one) => one.dataset.view === view));
  }

  for (const zone of zones) {
    const { view } = zone.dataset;
    for (const input of zone.querySelectorAll("input")) {
      input.addEventListener("change", () => {
        if (input.files.length) put(new Map([[view, input.files[0]]]));
        input.value = ""; // so that the same file may be chosen again
      });
    }
    zone.querySelector(".remove").addEventListener("click", () => {
      put(new Map([[view, null]]));
      zone.querySelector("input").focus();
    });
    zone.addEventListener("dragover", () => zone.classList.add("over"));
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      zone.classList.remove("over");
      const [file] = event.dataTransfer.files;
      if (file) put(new Map([[view, file]]));
    });
  }
  // A file that misses the zones must not replace the page.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => event.preventDefault());
  }
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (!file) return;
    const free = zones.find((one) => !chosen.has(one.dataset.view)) ?? zones[0];
    const near = document.activeElement?.closest(".zone") ?? free;
    put(new Map([[near.dataset.view, file]]));
  });
  for (const button of document.querySelectorAll(".example")) {
    button.addEventListener("click", async () => {
      latest += 1;
      const mine = latest;
      const drawn = zones.map(async (zone, index) => {
        const name = `example-${button.dataset.number}-${index}.jpg`;
        return [zone.dataset.view, new File([await askFile(`/static/${name}`)], name)];
      });
      try {
        const files = new Map(await Promise.all(drawn));
        if (mine === latest) put(files);
      } catch (error) {
        failed(error);
      }
    });
  }
}

// Returns the views that have a picture, with its address.
export const shownPictures = () => [...addresses];

function show(zone) {
  const { view } = zone.dataset;
  const file = chosen.get(view);
  const image = zone.querySelector(".preview");
  if (addresses.has(view)) URL.revokeObjectURL(addresses.get(view));
  addresses.delete(view);
  zone.classList.toggle("filled", Boolean(file));
  image.hidden = zone.querySelector(".remove").hidden = !file;
  zone.querySelector(".hint").hidden = Boolean(file);
  zone.querySelector(".as-read").hidden = true;
  if (!file) return;
  addresses.set(view, URL.createObjectURL(file));
  image.onerror = async () => {
    image.onerror = null;
    const address = await pictureAddress(view).catch(() => null); // why is said beside the zones
    if (!address || chosen.get(view) !== file) {
      image.hidden = true;
      return;
    }
    addresses.set(view, address);
    image.src = address;
    zone.querySelector(".as-read").hidden = false;
    for (const map of document.querySelectorAll("img.photo")) {
      if (map.dataset.view === view) map.src = address;
    }
  };
  image.src = addresses.get(view);
}

// Returns a picture with its map for a figure of the page or the record.
export function mapped(view, address, overlay, alts) {
  return make(
    "div.frame",
    {},
    make("img.photo", { src: address, alt: alts.photo, "data-view": view }),
    overlay ? make("img.overlay", { src: overlay, alt: alts.map }) : null,
  );
}
