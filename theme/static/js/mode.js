// Light or dark: what was chosen with the header's button and is kept in this browser, otherwise what the system says.
"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => { try { return localStorage.getItem("mode"); } catch { return null; } };
  const keep = (mode) => { try { localStorage.setItem("mode", mode); } catch { /* no storage: the choice lasts a page */ } };
  const now = () => root.dataset.mode || (dark.matches ? "dark" : "light");

  root.dataset.script = "";
  if (["dark", "light"].includes(chosen())) root.dataset.mode = chosen();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector(".mode");
    if (!button) return;
    const label = () => { button.textContent = now() === "dark" ? button.dataset.light : button.dataset.dark; };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.mode = now() === "dark" ? "light" : "dark";
      keep(root.dataset.mode);
      label();
    });
    dark.addEventListener("change", label);
    label();
  });
})();
