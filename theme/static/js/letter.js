"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => { try { return localStorage.getItem("mode"); } catch { return null; } };
  const keep = (mode) => { try { localStorage.setItem("mode", mode); } catch { /* no storage: the choice lasts a page */ } };
  const now = () => root.dataset.mode || (dark.matches ? "dark" : "light");

  if (chosen()) root.dataset.mode = chosen();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector(".mode");
    const label = () => { button.textContent = now() === "dark" ? "Light" : "Dark"; };
    button.hidden = false;
    button.setAttribute("aria-label", "Switch between light and dark");
    button.addEventListener("click", () => {
      root.dataset.mode = now() === "dark" ? "light" : "dark";
      keep(root.dataset.mode);
      label();
    });
    dark.addEventListener("change", label);
    label();
    // What scrolls sideways at this width can be reached, and scrolled, by keyboard.
    const reach = (box) => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex"); };
    const sizes = new ResizeObserver((entries) => { for (const entry of entries) reach(entry.target); });
    for (const box of document.querySelectorAll(".body pre, .body table")) { reach(box); sizes.observe(box); }
  });
})();
