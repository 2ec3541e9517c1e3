"use strict";

const byId = (id) => document.getElementById(id);
const names = new Intl.Collator("en", { numeric: true });

// Tables

function sortTable(heading) {
  const numeric = heading.classList.contains("number");
  // At first numbers from the largest, names from A.
  const up = heading.ariaSort ? heading.ariaSort === "descending" : !numeric;
  const body = heading.closest("table").tBodies[0];
  const value = (row) => row.cells[heading.cellIndex].dataset.value;
  const compare = (a, b) => (numeric ? a - b : names.compare(a, b));
  const rows = [...body.rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (!a || !b) return !a - !b; // undefined values come last in both directions
    return up ? compare(a, b) : compare(b, a);
  });
  body.append(...rows);
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.ariaSort = up ? "ascending" : "descending";
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    if (event.target.closest("button")) sortTable(event.target.closest("th"));
  });
}

// Cases

function startGallery(filters) {
  const fields = filters.elements;
  const cases = [...byId("list").children];
  const table = byId("table").querySelector("table");

  // Rows and cases are in the same order until the reader sorts them.
  const rowOf = new Map(cases.map((one, index) => [one, table.tBodies[0].rows[index]]));

  const confidence = (one) => Number(one.dataset.confidence);
  const severity = { wrong: 0, right: 1, unknown: 2 };
  const byName = (a, b) => names.compare(a.dataset.id, b.dataset.id);
  const orders = {
    id: byName,
    ascending: (a, b) => confidence(a) - confidence(b) || byName(a, b),
    descending: (a, b) => confidence(b) - confidence(a) || byName(a, b),
    wrong: (a, b) =>
      severity[a.dataset.verdict] - severity[b.dataset.verdict] || orders.descending(a, b),
  };

  function bound(field, otherwise) {
    return field.value === "" ? otherwise : Number(field.value);
  }

  function fits(one) {
    const { id, truth, predicted, verdict } = one.dataset;
    // Rounded as printed: a case shown as 0.80 is in a range that starts at 0.8.
    const shown = Number(confidence(one).toFixed(2));
    return (
      (!fields.truth.value || fields.truth.value === truth) &&
      (!fields.predicted.value || fields.predicted.value === predicted) &&
      (!fields.verdict.value || fields.verdict.value === verdict) &&
      shown >= bound(fields.least, 0) &&
      shown <= bound(fields.most, 1) &&
      id.toLowerCase().includes(fields.text.value.trim().toLowerCase())
    );
  }

  function filter() {
    let shown = 0;
    for (const one of cases) {
      const kept = fits(one);
      one.hidden = rowOf.get(one).hidden = !kept;
      shown += kept;
    }
    byId("count").value = `showing ${shown} of ${cases.length}`;
    byId("none").hidden = shown > 0;
  }

  function order() {
    byId("list").append(...cases.sort(orders[fields.order.value]));
  }

  function reset() {
    filters.reset();
    filter();
    order();
  }

  function fade() {
    document.documentElement.style.setProperty("--opacity", byId("fade").value / 100);
    byId("fade-text").value = `${byId("fade").value} %`;
  }

  function reveal() {
    const target = byId(location.hash.slice(1));
    if (target?.hidden) {
      reset();
      target.scrollIntoView();
    }
  }

  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  fields.order.addEventListener("input", order);
  byId("clear").addEventListener("click", reset);
  byId("fade").addEventListener("input", fade);
  addEventListener("hashchange", reveal);

  // A browser may restore what was entered before a reload.
  filter();
  order();
  fade();
  sortTable(table.tHead.rows[0].cells[0]);
}

if (byId("filters")) startGallery(byId("filters"));
