// Calls of the API.

import { say } from "./words.js";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Returns the answer to a request; an error of the API is a `Refused` in the API's own words.
export async function ask(path, body, { signal, method = "POST", keepalive = false } = {}) {
  const isForm = body instanceof FormData;
  const options = { method, signal, keepalive };
  if (body) options.body = isForm ? body : JSON.stringify(body);
  if (body && !isForm) options.headers = { "content-type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, say("no_answer"));
  }
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  return answer.json();
}

async function reason(answer) {
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  if (!isJson) return say("no_json", { status: answer.status });
  return (await answer.json()).error.message;
}
