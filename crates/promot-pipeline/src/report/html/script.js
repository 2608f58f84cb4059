"use strict";

// What a cell is sorted by: its first number, or else its text.
function sortKey(row, column) {
  const cell = row.cells[column];
  const number = cell.querySelector("data");
  return number ? Number(number.value) : cell.textContent.trim();
}

// A first click on numbers puts the largest on top, on words the first of the alphabet; a second click
// turns the order.
function sortBy(button) {
  const head = button.closest("th");
  const table = head.closest("table");
  const column = head.cellIndex;
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => ({ row, key: sortKey(row, column) }));
  const areNumbers = keyed.some((one) => typeof one.key === "number");
  const before = head.getAttribute("aria-sort");
  const first = areNumbers ? "descending" : "ascending";
  const second = areNumbers ? "ascending" : "descending";
  const order = before === first ? second : first;
  const sign = order === "ascending" ? 1 : -1;
  keyed.sort((a, b) => {
    // What has no number is at the end in both orders.
    if (typeof a.key !== typeof b.key) return typeof a.key === "number" ? -1 : 1;
    if (typeof a.key === "number") return sign * (a.key - b.key);
    return sign * a.key.localeCompare(b.key, "en");
  });
  for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", order);
  body.append(...keyed.map((one) => one.row));
}

for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => sortBy(button));
}

// Shows the rows that have all the words, and opens the tasks that they are of.
function filter(search, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let all = 0;
  let found = 0;
  for (const task of search.querySelectorAll("details")) {
    let here = 0;
    for (const row of task.querySelector("tbody").rows) {
      row.searched ??= row.textContent.toLowerCase();
      const matches = words.every((word) => row.searched.includes(word));
      row.hidden = !matches;
      all += 1;
      here += matches ? 1 : 0;
    }
    found += here;
    task.hidden = here === 0;
    task.open = words.length > 0 && here > 0;
  }
  const told = words.length > 0 ? `${found} of ${all} rows` : "";
  search.querySelector("output").value = told;
}

for (const search of document.querySelectorAll("[data-search]")) {
  const field = search.querySelector("input");
  field.addEventListener("input", () => filter(search, field.value));
}
