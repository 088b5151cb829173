// Posts a sign-up form without leaving the page, and shows the answer in the form's live region (role="status").
// What only Postmerge's own page can ask, or what fails, is left to the browser, which posts the form as if this did not exist.
"use strict";
(() => {
  const MIN_TOKEN_AGE = 2100, MAX_TOKEN_AGE = 6 * 3600e3; // ms; the API accepts a form's token from 2 s to 24 h
  const MAX_WIDGET_WAIT = 10e3; // ms for a captcha that solves itself
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  function enhance(form, number) {
    const answer = form.querySelector("[role=status]");
    answer.id ||= `subscribe-answer-${number}`;
    let token = null, busy = false, hasAsked = false;

    function requestToken() {
      if (!token || Date.now() - token.requested > MAX_TOKEN_AGE) {
        const received = fetch(new URL("subscribe/token", form.action), { credentials: "omit" })
          .then((response) => response.json())
          .then((said) => ({ value: said.token, at: Date.now(), challenge: said.challenge, proof: prove(said.challenge) }));
        token = { requested: Date.now(), received };
        received.catch(() => { token = null; });
      }
      return token.received;
    }

    // Begins to solve the challenge in this page, while the form is filled in.
    async function prove(challenge) {
      if (challenge?.kind === "work") {
        const { solve } = await import(new URL("-/work.js", form.action));
        return new Promise((done) => solve(challenge.sum, challenge.bits, done));
      }
      if (challenge && !form.getElementsByClassName(challenge.name).length) {
        const widget = Object.assign(document.createElement("div"), { className: challenge.name });
        widget.dataset.sitekey = challenge.site_key;
        answer.before(widget);
        document.head.append(Object.assign(document.createElement("script"), { src: challenge.script, async: true }));
      }
    }

    async function waitForWidget({ name }) {
      for (let waited = 0; waited < MAX_WIDGET_WAIT && !form.elements[`${name}-response`]?.value; waited += 200) await pause(200);
    }

    function set(name, value) {
      const field = form.elements[name] || form.appendChild(Object.assign(document.createElement("input"), { type: "hidden", name }));
      field.value = value;
    }

    async function post() {
      const { value, at, challenge, proof } = await requestToken();
      set("token", value);
      set("page", location.origin + location.pathname);
      await pause(at + MIN_TOKEN_AGE - Date.now());
      if (challenge?.kind === "work") set("work", await proof);
      if (challenge?.kind === "hook") await waitForWidget(challenge);
      const body = new URLSearchParams(new FormData(form));
      const headers = { Accept: "application/json" };
      const response = await fetch(form.action, { method: "POST", body, headers, credentials: "omit" });
      const said = await response.json();
      const mayAskHere = challenge?.kind === "hook" && !hasAsked; // a person has to answer, and then clicks again
      hasAsked ||= mayAskHere;
      return { ...said, needs_page: said.needs_page && !mayAskHere };
    }

    function show(said) {
      answer.textContent = said.message;
      if (said.recorded) {
        for (const part of [...form.children]) if (part !== answer) part.remove();
        answer.prepend(Object.assign(document.createElement("strong"), { textContent: said.title }), " ");
        answer.tabIndex = -1;
        return answer.focus();
      }
      if (said.suggestion) {
        const accept = Object.assign(document.createElement("button"), { type: "button", textContent: said.accept });
        accept.addEventListener("click", () => { form.elements.email.value = said.suggestion; form.requestSubmit(); });
        const insist = Object.assign(document.createElement("small"), { textContent: said.insist });
        answer.append(" ", accept, " ", insist);
        set("sure", form.elements.email.value);
      }
      const field = form.elements[said.field];
      if (!field) return;
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", answer.id);
      field.focus();
    }

    form.addEventListener("focusin", () => { requestToken().catch(() => {}); });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (busy) return;
      busy = true;
      answer.textContent = form.dataset.wait;
      for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
      try {
        const said = await post();
        if (said.recorded || said.message && !said.needs_page) return show(said);
      } catch { /* no connection, or an answer that is none */ } finally { busy = false; }
      HTMLFormElement.prototype.submit.call(form);
    });
  }

  document.querySelectorAll("form[data-subscribe]:not([data-enhanced])").forEach((form, number) => {
    form.dataset.enhanced = "";
    enhance(form, number);
  });
})();
