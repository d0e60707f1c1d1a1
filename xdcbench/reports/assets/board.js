"use strict";
(() => {
  const body = document.getElementById("rows");
  if (!body) return;
  const rows = [...body.rows];
  const table = body.closest("table");
  const [tools, tally, none, clear] = ["tools", "tally", "none", "clear"].map((id) => document.getElementById(`board-${id}`));
  const selects = [...tools.querySelectorAll("select")];
  const heads = [...table.querySelectorAll(".evaluations th")];
  const groups = [...table.querySelectorAll(".datasets .group")];

  // Columns that no shown row has a number in, or that are of another modality, go.
  const columns = () => {
    const modality = tools.querySelector("[data-field=modality]").value;
    let at = 0;
    for (const group of groups) {
      const width = Number(group.dataset.width ??= group.colSpan);
      let shown = 0;
      for (const end = at + width; at < end; at += 1) {
        const kept = (!modality || heads[at].dataset.modality.split(" ").includes(modality))
          && rows.some((row) => !row.hidden && row.cells[at + 1].dataset.sort !== undefined);
        heads[at].hidden = !kept;
        for (const row of rows) row.cells[at + 1].hidden = !kept;
        shown += kept;
      }
      group.hidden = shown === 0;
      if (shown) group.colSpan = shown;
    }
  };
  const fits = (row, { value, dataset: { field } }) => {
    const held = row.dataset[field];
    return !value || (field === "modality" ? held.split(" ").includes(value) : held === value);
  };
  const filter = () => {
    for (const row of rows) row.hidden = !selects.every((one) => fits(row, one));
    const shown = rows.filter((row) => !row.hidden).length;
    tally.textContent = `${shown} of ${rows.length} rows`;
    none.hidden = shown > 0;
    clear.hidden = selects.every((one) => !one.value);
    columns();
  };
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("change", filter);
  tools.addEventListener("reset", () => setTimeout(filter));

  // A column is sorted best first; once more turns it round. Rows without a number stay last.
  const value = (row, at) => (at === 0 ? row.dataset.name : row.cells[at].dataset.sort);
  const order = (at, best) => (a, b) => {
    const [left, right] = [value(a, at), value(b, at)];
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
    const difference = at === 0 ? left.localeCompare(right) : Number(right) - Number(left);
    return best ? difference : -difference;
  };
  const sorts = [...table.querySelectorAll(".sort")];
  for (const label of sorts) {
    const head = label.closest("th");
    const at = head.classList.contains("encoder") ? 0 : heads.indexOf(head) + 1;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...label.childNodes);
    label.replaceWith(button);
    button.addEventListener("click", () => {
      const best = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", best ? "descending" : "ascending");
      body.append(...rows.toSorted(order(at, best)));
    });
  }

  filter();
})();
