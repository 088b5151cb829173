"use strict";
(() => {
  // Where a link leads, in a word or two: the site, or the last name of its path here.
  const place = (link) => {
    if (link.protocol === "mailto:") return link.pathname;
    if (link.host !== location.host) return link.host.replace(/^www\./, "");
    const name = link.hash.slice(1) || link.pathname.split("/").filter(Boolean).pop() || link.host;
    try { return decodeURIComponent(name).replace(/^\d{4}-\d\d-\d\d-|\.\w+$/g, "").replace(/[-_]+/g, " "); } catch { return name; }
  };
  const flat = (text) => text.toLowerCase().replace(/[^\p{L}\p{M}\p{N}]+/gu, " ").trim();

  document.addEventListener("DOMContentLoaded", () => {
    // Who hears a link called "here" is told where it leads; the text as it was mailed, and its digest, stay what they are.
    for (const body of document.querySelectorAll("[data-vague]")) {
      const vague = new Set(body.dataset.vague.split("|").map(flat).filter(Boolean));
      for (const link of body.querySelectorAll("a[href]")) {
        if (!vague.has(flat(link.textContent))) continue;
        const more = document.createElement("span");
        more.className = "heard";
        more.textContent = ` (${place(link)})`;
        link.append(more);
      }
    }
    // What scrolls sideways at this width can be reached, and scrolled, by keyboard.
    const reach = (box) => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex"); };
    const sizes = new ResizeObserver((entries) => { for (const entry of entries) reach(entry.target); });
    for (const box of document.querySelectorAll(".body pre, .body table")) { reach(box); sizes.observe(box); }
  });
})();
