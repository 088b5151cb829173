// Search in pagefind's indexes, one for each year, newest first.
const form = document.querySelector(".find");
const box = form.elements.q;
const status = document.querySelector(".found");
const list = document.querySelector(".results");
const PAGE = 20;
const day = new Intl.DateTimeFormat(document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang, {
  day: "numeric", month: "long", year: "numeric", timeZone: "UTC",
});
let loading, turn = 0;

async function load() {
  const answer = await fetch(`${form.dataset.index}years.json`);
  if (!answer.ok) throw new Error(`${answer.status}`);
  const [first, ...others] = await answer.json();
  if (!first) throw new Error("no issues");
  const base = new URL(form.dataset.site).pathname;
  const engine = await import(`${form.dataset.index}${first}/pagefind.js`);
  await engine.options({ baseUrl: base, excerptLength: 24 });
  await Promise.all(others.map((year) => engine.mergeIndex(`${form.dataset.index}${year}/`, { baseUrl: base })));
  return engine;
}

function entry(found) {
  const item = document.createElement("li");
  const date = document.createElement("time");
  date.dateTime = found.meta.date || "";
  date.textContent = found.meta.date ? day.format(new Date(found.meta.date.slice(0, 10))) : "";
  const text = document.createElement("div");
  const link = document.createElement("a");
  link.href = found.url;
  link.dir = "auto";
  link.textContent = found.meta.title || found.url;
  const words = document.createElement("p");
  words.dir = "auto";
  // The excerpt is escaped text with <mark>; only the marks are kept.
  for (const node of new DOMParser().parseFromString(found.excerpt, "text/html").body.childNodes) {
    const part = node.nodeName === "MARK" ? document.createElement("mark") : document.createTextNode(node.textContent);
    if (node.nodeName === "MARK") part.textContent = node.textContent;
    words.append(part);
  }
  text.append(link, words);
  item.append(date, text);
  return item;
}

const fill = (text, values) => text.replace(/%\((\w+)\)s/g, (_, name) => values[name]);

async function search() {
  const mine = ++turn;
  const words = box.value.trim();
  history.replaceState(null, "", words ? `?q=${encodeURIComponent(words)}` : location.pathname);
  if (!words) { list.replaceChildren(); status.textContent = ""; return; }
  try {
    const engine = await (loading ??= load());
    const { results } = await engine.search(words);
    const shown = await Promise.all(results.slice(0, PAGE).map((one) => one.data()));
    if (mine !== turn) return;
    list.replaceChildren(...shown.map(entry));
    const { none, found, most } = form.dataset;
    const text = results.length > PAGE ? most : results.length ? found : none;
    status.textContent = fill(text, { number: results.length, shown: PAGE, words });
  } catch {
    loading = undefined;
    if (mine === turn) status.textContent = form.dataset.broken;
  }
}

let wait;
form.hidden = false;
document.querySelector(".unsearchable").hidden = true;
form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
box.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(search, 200); });
box.value = new URLSearchParams(location.search).get("q") || "";
if (box.value) search();
box.focus();
