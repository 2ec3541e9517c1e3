// The page of a reader: it shows whatever is due now, and nothing that was before.

import { showCase, shownItem } from "./case_page.js";
import { byId } from "./elements.js";
import { startPausing } from "./pausing.js";
import { ask } from "./server.js";
import { base } from "./settings.js";
import { loading, showStage } from "./stages.js";
import { say } from "./words.js";
import { startWithdrawing } from "./withdrawing.js";

const WITHDRAWABLE = ["consent", "profile", "practice", "case", "locked"];

let shown = null;

// Asks the server for what is due and shows it; `notice` says why, if that is not obvious.
async function refresh(notice = "") {
  let now;
  try {
    now = await ask(`${base}/now`);
  } catch (error) {
    fail(error);
    return;
  }
  byId("problem").replaceChildren();
  const isCase = Boolean(now.case);
  byId("notice").textContent = isCase ? notice : ""; // other pages say by themselves why
  byId("notice").className = isCase && notice ? "notice" : "";
  byId("pause").hidden = !isCase;
  byId("withdraw").hidden = !WITHDRAWABLE.includes(now.stage);
  if (isCase && shown === now.stage && shownItem() === now.case.item) return; // as on "back"
  shown = now.stage;
  if (isCase) showCase(now, next);
  else showStage(now, next);
  if (now.paused) ask(`${base}/resume`).catch(fail);
}

// After a step that was recorded: "back" must lead to this page, not to another.
async function next(notice = "") {
  history.pushState({}, "");
  await refresh(notice);
}

function fail(error) {
  if (error.status === undefined) throw error;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = say("again");
  button.addEventListener("click", () => refresh());
  byId("problem").replaceChildren(`${error.message} `, button);
}

addEventListener("popstate", () => refresh());
addEventListener("pageshow", (event) => event.persisted && refresh());
startPausing();
startWithdrawing(refresh);
loading();
refresh();
