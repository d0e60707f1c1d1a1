"use strict";
(() => {
  // A method chosen among the lines stands out in every figure.
  const curves = document.getElementById("curves");
  const names = curves ? [...curves.querySelectorAll("button[data-variant]")] : [];
  for (const button of names) {
    button.addEventListener("click", () => {
      const chosen = button.getAttribute("aria-pressed") !== "true";
      for (const other of names) other.setAttribute("aria-pressed", String(other === button && chosen));
      curves.classList.toggle("fade", chosen);
      curves.dataset.only = button.dataset.variant;
    });
  }
})();
(() => {
  const list = document.getElementById("list");
  if (!list) return;
  const all = [...list.children];
  const [search, kind, sort, tally, none, picked] =
    ["search", "kind", "sort", "tally", "none", "picked"].map((id) => document.getElementById(id));
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const words = new Map(all.map((run) => [run, fold(`${run.dataset.name} ${run.dataset.text}`)]));
  const anchor = (run) => run.querySelector(".body").id;
  let only = null; // the runs behind one number; null: any

  const filter = () => {
    const wanted = fold(search.value).split(/\s+/).filter(Boolean);
    for (const run of all) {
      const fits = (!kind.value || run.dataset.kind === kind.value) && wanted.every((word) => words.get(run).includes(word));
      run.hidden = only ? !only.has(anchor(run)) : !fits;
    }
    const shown = all.filter((run) => !run.hidden).length;
    tally.textContent = `${shown} of ${all.length} runs`;
    none.hidden = shown > 0;
    picked.hidden = !only;
    if (only || kind.value || wanted.length) list.parentElement.open = true;
  };
  const number = (run, by) => (run.dataset[by] === "" ? -Infinity : Number(run.dataset[by]));
  const order = () => {
    const by = sort.value;
    const largestFirst = (a, b) => (number(a, by) === number(b, by) ? 0 : number(b, by) - number(a, by));
    list.append(...(by === "name" ? all : [...all].sort(largestFirst)));
  };
  const clear = () => { only = null; search.value = ""; kind.value = ""; filter(); };
  search.addEventListener("input", () => { only = null; filter(); });
  kind.addEventListener("change", () => { only = null; filter(); });
  sort.addEventListener("change", () => { order(); list.parentElement.open = true; });
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  picked.querySelector("button").addEventListener("click", clear);

  // A link to a run opens it, whatever the filter hides; one to several shows just these.
  const open = (id) => {
    const body = document.getElementById(id);
    const run = body?.closest(".run");
    if (!run) return;
    if (run.hidden) clear();
    for (let at = run; at; at = at.parentElement) if (at.localName === "details") at.open = true;
    body.scrollIntoView();
    run.querySelector("summary").focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    if (link.dataset.kind) { clear(); kind.value = link.dataset.kind; filter(); return; }
    const ids = (link.dataset.runs ?? "").split(" ").filter((id) => id.startsWith("run-"));
    if (ids.length) {
      only = new Set(ids);
      picked.querySelector("span").textContent = `${ids.length} runs are behind ${link.textContent.trim()}.`;
      filter();
    }
    setTimeout(() => open(link.hash.slice(1)));
  });
  addEventListener("hashchange", () => open(location.hash.slice(1)));
  filter();
  if (location.hash) open(location.hash.slice(1));
})();
