// Calls of the API.

import { say } from "./words.js";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Whether the same request may be answered later.
export const mayPass = ({ status }) => [0, 408, 502, 503, 504].includes(status);

// Returns the answer to a request; an error of the API is a `Refused` in the API's own words.
export async function ask(path, body, { signal, keepalive = false } = {}) {
  const isForm = body instanceof FormData;
  const sent = isForm ? body : JSON.stringify(body);
  const options = { method: "POST", signal, keepalive, body: sent };
  if (!isForm) options.headers = { "content-type": "application/json" };
  return (await fetched(path, options)).json();
}

export const askText = async (path) => (await fetched(path)).text();
export const askFile = async (path) => (await fetched(path)).blob();

async function fetched(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, say("no_answer"));
  }
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  return answer;
}

async function reason(answer) {
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  if (!isJson) return say("no_json", { status: answer.status });
  return (await answer.json()).error.message;
}
