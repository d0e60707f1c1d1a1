"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const recall = () => { try { return localStorage.getItem("xdcbench-theme"); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem("xdcbench-theme", theme); } catch { /* not kept */ } };
  const chosen = recall();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  const shown = () => root.dataset.theme || (dark.matches ? "dark" : "light");

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const other = () => (shown() === "dark" ? "light" : "dark");
    const say = () => { button.querySelector("[data-name]").textContent = other() === "dark" ? "Dark theme" : "Light theme"; };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = other();
      remember(shown());
      say();
    });
    dark.addEventListener("change", say);
    say();
  });
})();
