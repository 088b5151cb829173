// Reloads the part of the desk's first page that changes; without it, reloading the page shows the same.
const live = document.querySelector("[data-live]");
async function refresh() {
  try {
    const response = await fetch(live.dataset.live, { redirect: "manual" });
    if (response.ok) live.innerHTML = await response.text();
  } catch { /* the next round tries again */ }
}
if (live) {
  refresh();
  setInterval(refresh, live.dataset.every * 1000);
}
