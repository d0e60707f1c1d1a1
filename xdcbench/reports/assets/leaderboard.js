"use strict";
(() => {
  const [rows, records, dialog, toRecords] =
    ["rows", "records", "opened", "to-records"].map((id) => document.getElementById(id));
  if (!rows) return;

  // A number opens its records beside the board; without scripts its link leads to them below.
  records.hidden = true;
  if (toRecords) toRecords.hidden = true;
  const place = dialog.querySelector("div");
  const open = (id) => {
    const panel = document.getElementById(id);
    if (!panel?.classList.contains("panel")) return;
    const copy = panel.cloneNode(true);
    copy.removeAttribute("id");
    copy.querySelector("h3").id = "opened-title";
    copy.setAttribute("aria-labelledby", "opened-title");
    place.replaceChildren(copy);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };
  rows.addEventListener("click", (event) => {
    const link = event.target.closest("a.value");
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    open(link.hash.slice(1));
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
  addEventListener("hashchange", () => open(location.hash.slice(1)));
  if (location.hash) open(location.hash.slice(1));
})();
