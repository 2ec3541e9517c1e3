// Answers that are not submitted yet, kept in this tab so that a reload loses nothing.

const PREFIX = "vitatt-study-";
const LAST = `${PREFIX}drawing`; // of the case that was submitted last

// Returns the draft of a case: as it was left, or as the arm before ended, or empty.
export function makeDraft(one) {
  const key = PREFIX + one.item;
  const kept = read(key);
  const draft = {
    id: kept?.id ?? crypto.getRandomValues(new Uint32Array(4)).join("-"),
    answers: kept?.answers ?? given(one.before),
    drawing: kept?.drawing ?? (one.before?.drawing ? read(LAST) : null) ?? [],
    seconds: Math.max(kept?.seconds ?? 0, one.seconds),
    keep(more) {
      Object.assign(draft, more);
      const { id, answers, drawing, seconds } = draft;
      sessionStorage.setItem(key, JSON.stringify({ id, answers, drawing, seconds }));
    },
    forget() {
      draft.keep = () => {};
      sessionStorage.setItem(LAST, JSON.stringify(draft.drawing));
      sessionStorage.removeItem(key);
    },
  };
  draft.keep({});
  return draft;
}

// How sure a reader is has to be said anew in each arm.
function given(before) {
  if (!before) return {};
  const { diagnosis, second, third, management, features } = before;
  return { diagnosis, second, third, management, features };
}

const read = (key) => JSON.parse(sessionStorage.getItem(key) ?? "null");
