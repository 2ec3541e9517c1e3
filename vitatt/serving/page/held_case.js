// The case that the server holds, so that its pictures are sent once.

import { ask } from "./server.js";

let files = new Map();
let held = null;
let name = null; // of the case, when it is known

// Sends pictures by view, in place of those sent before.
export function hold(chosen) {
  forget();
  files = new Map(chosen);
  held = files.size ? send() : null;
  held?.catch(() => {}); // whoever asks next is told
}

export const isHeld = () => held !== null;

// Returns the answer about the case; if the server has forgotten it, it is sent once more.
export async function askCase(question, body, signal) {
  const asked = held;
  try {
    return await ask(`/v1/cases/${await asked}/${question}`, body, { signal });
  } catch (error) {
    if (error.status !== 404) throw error;
    if (held === asked) held = send();
    return ask(`/v1/cases/${await held}/${question}`, body, { signal });
  }
}

// Resolves to the address of a picture as the server reads it.
export async function pictureAddress(view) {
  return `/cases/${await held}/pictures/${encodeURIComponent(view)}`;
}

async function send() {
  const form = new FormData();
  for (const [view, file] of files) {
    form.append(view === "image" ? "image" : `image.${view}`, file, file.name || "picture");
  }
  name = (await ask("/v1/cases", form)).case;
  return name;
}

// A call that fails leaves the case to the server, which forgets what nobody asks about.
const drop = (one) => fetch(`/v1/cases/${one}`, { method: "DELETE", keepalive: true }).catch(() => {});

function forget() {
  name = null;
  held?.then(drop, () => {}); // what was never held needs no forgetting
}

addEventListener("pagehide", () => name && drop(name));
