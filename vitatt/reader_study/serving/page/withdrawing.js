// Withdrawal from the study, after a question.

import { byId } from "./elements.js";
import { ask } from "./server.js";
import { base, study } from "./settings.js";

// Calls `done` after a withdrawal that was recorded.
export function startWithdrawing(done) {
  const dialog = byId("withdrawing");
  byId("withdraw").addEventListener("click", () => {
    dialog.returnValue = "cancel";
    dialog.showModal();
  });
  dialog.addEventListener("close", async () => {
    if (dialog.returnValue !== "withdraw") return;
    const chosen = new FormData(byId("withdraw-form")).get("data");
    const exclude = (chosen ?? study.withdrawal) === "exclude";
    try {
      await ask(`${base}/withdraw`, { exclude });
    } catch (error) {
      if (error.status === undefined) throw error;
      byId("problem").textContent = error.message;
      return;
    }
    await done();
  });
}
