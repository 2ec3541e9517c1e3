// The place where a map is strongest, in words.

import { make } from "./elements.js";
import { text } from "./words.js";

// Says where a map is strongest, for those who do not see it.
export async function strongest(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  let best = 0;
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    if (data[4 * pixel + 3] > data[4 * best + 3]) best = pixel;
  }
  const row = Math.floor((3 * Math.floor(best / width)) / height);
  const column = Math.floor((3 * (best % width)) / width);
  return text.places.split("|")[3 * row + column];
}
