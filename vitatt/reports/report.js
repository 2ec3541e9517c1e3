"use strict";

const names = new Intl.Collator("en", { numeric: true });

function sortTable(heading) {
  const numeric = heading.classList.contains("number");
  // The best or the largest is what one looks for first; names go from A.
  const up = heading.ariaSort ? heading.ariaSort === "descending" : !numeric;
  const body = heading.closest("table").tBodies[0];
  const value = (row) => row.cells[heading.cellIndex].dataset.value;
  const compare = (a, b) => (numeric ? a - b : names.compare(a, b));
  const rows = [...body.rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (!a || !b) return !a - !b; // what is not defined comes last, both ways
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
