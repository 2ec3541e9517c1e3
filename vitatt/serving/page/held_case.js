// The case that the server holds, so that its pictures are sent once.

import { ask, mayPass } from "./server.js";

let files = new Map();
let held = null;
let name = null; // of the case, when it is known
let isLost = false; // the pictures did not arrive, but may when they are sent again

// Sends pictures by view, in place of those sent before.
export function hold(chosen) {
  forget();
  files = new Map(chosen);
  held = null;
  if (files.size) start();
}

export const isHeld = () => held !== null;

// Returns the answer about the case; if the server does not have it, it is sent once more.
export async function askCase(question, body, signal) {
  if (isLost) start();
  const asked = held;
  try {
    return await ask(`/v1/cases/${await asked}/${question}`, body, { signal });
  } catch (error) {
    if (error.status !== 404) throw error;
    if (held === asked) start();
    return ask(`/v1/cases/${await held}/${question}`, body, { signal });
  }
}

// Resolves to the address of a picture as the server reads it.
export async function pictureAddress(view) {
  return `/cases/${await held}/pictures/${encodeURIComponent(view)}`;
}

function start() {
  isLost = false;
  const sent = send();
  held = sent;
  sent.catch((error) => {
    // Whoever asks is told.
    if (held === sent) isLost = mayPass(error);
  });
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
