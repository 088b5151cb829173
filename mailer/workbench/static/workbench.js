// The workbench in the browser: asks for a file over the websocket and shows what it is told.
(() => {
  "use strict";
  const at = (id) => document.getElementById(id);
  const stage = at("stage"), tabs = [...document.querySelectorAll("[role=tab]")];
  const keep = (name, value) => { try { localStorage.setItem("postmerge-" + name, value); } catch { /* private mode */ } };
  const kept = (name) => { try { return localStorage.getItem("postmerge-" + name); } catch { return null; } };
  let shown = {}, view = kept("view") || "mail", dark = kept("dark") === "1", phone = kept("phone") === "1", line = 0, socket, scrolled = {};

  const make = (tag, text, name) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };

  const withMode = (page) => {
    const mode = dark ? "dark" : "light";
    return page.replace(/<html\b/i, `<html data-mode="${mode}" style="color-scheme:${mode}"`);
  };

  const frame = (html, title) => {
    let made = stage.querySelector("iframe");
    if (!made) {
      made = document.createElement("iframe");
      made.setAttribute("sandbox", "allow-same-origin");
      stage.replaceChildren(made);
    }
    made.title = title;
    const before = made.contentWindow && made.dataset.view === view ? made.contentWindow.scrollY : 0;
    made.dataset.view = view;
    made.onload = () => made.contentWindow && made.contentWindow.scrollTo(0, before);
    made.srcdoc = html;
  };

  const lines = () => {
    const pre = document.createElement("pre");
    (shown.source || "").split("\n").forEach((text, number) => {
      const row = make("span", text + "\n", number + 1 === line ? "marked" : "");
      pre.append(row);
    });
    stage.replaceChildren(pre);
    const marked = pre.querySelector(".marked");
    if (marked) marked.scrollIntoView({ block: "center" });
  };

  const email = () => (at("variant").value && shown.paid) || shown;

  const draw = () => {
    const text = email();
    tabs.forEach((tab) => {
      tab.setAttribute("aria-selected", String(tab.dataset.view === view));
      tab.tabIndex = tab.dataset.view === view ? 0 : -1;
    });
    stage.setAttribute("aria-labelledby", "tab-" + view);
    stage.className = view + (phone ? " phone" : "");
    at("width").setAttribute("aria-pressed", String(phone));
    at("mode").setAttribute("aria-pressed", String(dark));
    at("inbox").hidden = view !== "mail" || !shown.subject;
    if (view === "mail" && text.mail) frame(dark ? text.mail_dark : text.mail, "The email");
    else if (view === "page" && shown.page) frame(withMode(shown.page), "The page");
    else if (view === "source") lines();
    else stage.replaceChildren(make("pre", view === "text" && text.text ? text.text : "Nothing to show here."));
  };

  const place = (number) => {
    const made = make("button", "line " + number);
    made.type = "button";
    made.onclick = () => { line = number; view = "source"; draw(); };
    return made;
  };

  const facts = () => {
    at("subject").textContent = shown.subject || "";
    at("preheader").textContent = email().preheader || "";
    const size = email().size || 0;
    at("text-label").hidden = !shown.paid;
    if (!shown.paid) at("variant").value = "";
    const languages = shown.languages || [];
    at("languages-label").hidden = languages.length < 2;
    at("languages").replaceChildren(...languages.map((one) => new Option(one.lang, one.file, false, one.file === shown.file)));
    at("test").hidden = !shown.subject;
    at("size").value = size;
    at("size-text").textContent = size ? `${(size / 1024).toFixed(1)} KB of the 102 KB that Gmail shows` : "not sent";
    const minutes = Math.max(1, Math.round((shown.seconds || 0) / 60));
    at("reading").textContent = shown.seconds ? `${minutes} min to read` : "";
    const remarks = shown.remarks || [];
    at("checks-count").textContent = remarks.length || "";
    at("checks").replaceChildren(...(remarks.length ? remarks.map((one) => {
      const row = make("li", "", one.level);
      row.append(make("b", one.level), " ", place(one.line), " ", one.message);
      row.title = one.id;
      return row;
    }) : [make("li", "Nothing found.", "none")]));
    drawLinks();
  };

  const order = { gone: 0, refused: 1, slow: 2, unsure: 3, redirected: 4, waiting: 5, fine: 6 };
  const drawLinks = () => {
    const links = [...(shown.links || [])].sort((a, b) => order[a.state] - order[b.state] || a.line - b.line);
    const waiting = links.filter((one) => one.state === "waiting").length;
    at("links-count").textContent = waiting ? `${links.length - waiting} of ${links.length}` : links.length || "";
    at("links").replaceChildren(...(links.length ? links.map((one) => {
      const row = make("li", "", one.state);
      row.append(make("span", one.state, "state"), " ", place(one.line), " ", make("span", one.url));
      if (one.detail && one.state !== "fine") row.append(" ", make("span", one.state === "redirected" ? "to " + one.detail : one.detail));
      return row;
    }) : [make("li", "No links.", "none")]));
  };

  let soon = 0;
  const told = {
    working() {
      at("live").textContent = "Working on it…";
      stage.setAttribute("aria-busy", "true");
    },
    shown(message) {
      stage.removeAttribute("aria-busy");
      const keepOld = message.error && !message.page ? { page: shown.page, mail: shown.mail, mail_dark: shown.mail_dark, text: shown.text, size: shown.size, subject: shown.subject, preheader: shown.preheader, paid: shown.paid, seconds: shown.seconds } : {};
      shown = { ...keepOld, ...message };
      const errors = (shown.remarks || []).filter((one) => one.level === "error");
      const more = errors.length > 1 ? ` (and ${errors.length - 1} more below)` : "";
      const error = message.error || (errors.length ? `Line ${errors[0].line}: ${errors[0].message}${more}` : "");
      at("error").hidden = !error;
      at("error").textContent = error;
      at("live").textContent = `Live, ${message.ms} ms`;
      document.title = `${shown.subject || message.file}: write`;
      draw();
      facts();
      stage.dataset.turn = String(Number(stage.dataset.turn || 0) + 1);
    },
    link(message) {
      (shown.links || []).filter((one) => one.url === message.url).forEach((one) => Object.assign(one, message, { kind: undefined }));
      clearTimeout(soon);
      soon = setTimeout(drawLinks, 30);
    },
    refused(message) {
      at("error").hidden = false;
      at("error").textContent = message.error;
    },
  };

  const ask = () => {
    const file = at("file").value;
    if (file && socket && socket.readyState === 1) socket.send(JSON.stringify({ file }));
  };

  const connect = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/-/live`);
    socket.onopen = ask;
    socket.onmessage = (event) => { const message = JSON.parse(event.data); told[message.kind]?.(message); };
    socket.onclose = () => { stage.removeAttribute("aria-busy"); at("live").textContent = "Not connected: is postmerge write running?"; setTimeout(connect, 1000); };
  };

  const choose = (next) => { view = next; keep("view", view); draw(); };
  tabs.forEach((tab, number) => {
    tab.onclick = () => choose(tab.dataset.view);
    tab.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) { const next = tabs[(number + step + tabs.length) % tabs.length]; next.focus(); choose(next.dataset.view); }
    };
  });
  at("width").onclick = () => { phone = !phone; keep("phone", phone ? "1" : ""); draw(); };
  at("mode").onclick = () => { dark = !dark; keep("dark", dark ? "1" : ""); draw(); };
  at("variant").onchange = () => { draw(); facts(); };
  at("languages").onchange = () => { at("file").value = at("languages").value; at("file").onchange(); };
  at("to").value = kept("to") || "";
  at("test").onsubmit = async (event) => {
    event.preventDefault();
    const to = at("to").value.trim();
    keep("to", to);
    at("test-result").textContent = "Sending…";
    const body = JSON.stringify({ file: at("file").value, variant: at("variant").value, to });
    try {
      const answer = await (await fetch("/-/test", { method: "POST", body })).json();
      at("test-result").textContent = answer.said || answer.error;
    } catch { at("test-result").textContent = "Not connected: is postmerge write running?"; }
  };
  at("file").onchange = () => { location.hash = encodeURIComponent(at("file").value); shown = {}; line = 0; ask(); };

  fetch("/-/files").then((answer) => answer.json()).then((files) => {
    at("file").replaceChildren(...files.map((one) => new Option(`${one.title} (${one.file})`, one.file)));
    const wanted = decodeURIComponent(location.hash.slice(1));
    if (files.some((one) => one.file === wanted)) at("file").value = wanted;
    connect();
  });
})();
