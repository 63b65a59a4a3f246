// What the pages do beyond being read. They are whole without it, but for readers who need a credential.
"use strict";
(() => {
  const STORE = "weirgate.credential";
  const find = id => document.getElementById(id);
  const kept = () => sessionStorage.getItem(STORE) || "";

  // The reader's own credential comes before the development gateway's.
  const authorization = () => {
    const own = kept();
    if (own) return { Authorization: (own.startsWith("wg_") ? "ApiKey " : "Bearer ") + own };
    const meta = document.querySelector('meta[name="weirgate-token"]');
    return meta ? { Authorization: "Bearer " + meta.content } : {};
  };
  // Pages of others, such as the HTTP API's, ask for it.
  window.weirgate = { authorization };

  const problemOf = async answer => {
    try { const problem = await answer.json(); return problem.detail || problem.title || problem.message || String(answer.status); }
    catch { return "The gateway answered " + answer.status + "."; }
  };

  // The same page as the server writes it for the credential that is kept here.
  async function readAgain() {
    let answer;
    try { answer = await fetch(location.href, { headers: authorization(), cache: "no-store" }); }
    catch (error) { note("No answer: " + error.message); return; }
    if (!(answer.headers.get("content-type") || "").startsWith("text/html")) { note(await problemOf(answer)); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    find("page").replaceWith(document.adoptNode(fresh.getElementById("page")));
    document.title = fresh.title;
    begin();
  }
  function note(text) {
    find("access").open = true;
    find("access-note").textContent = text;
  }

  function credential() {
    find("credential").hidden = false;
    find("forget").hidden = !kept();
    find("credential").onsubmit = event => {
      event.preventDefault();
      const secret = find("secret").value.trim().replace(/^(Bearer|ApiKey) +/i, "");
      if (!/^[!-~]+$/.test(secret)) { note("That is neither a token nor an API key."); return; }
      sessionStorage.setItem(STORE, secret);
      readAgain();
    };
    find("forget").onclick = () => { sessionStorage.removeItem(STORE); location.reload(); };
  }

  function search() {
    const box = find("q");
    if (!box) return;
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const section of document.querySelectorAll(".domain")) {
        let here = 0;
        for (const item of section.querySelectorAll("li")) {
          item.hidden = !words.every(word => item.dataset.search.includes(word));
          if (!item.hidden) here += 1;
        }
        section.hidden = here === 0;
        count += here;
      }
      find("found").textContent = count + (count === 1 ? " event type" : " event types");
    });
  }

  // Files that need the credential are fetched with it.
  function downloads() {
    for (const link of document.querySelectorAll("a[download]")) {
      link.onclick = async event => {
        event.preventDefault();
        const answer = await fetch(link.href, { headers: authorization() });
        if (!answer.ok) { note(await problemOf(answer)); return; }
        const file = document.createElement("a");
        file.href = URL.createObjectURL(await answer.blob());
        file.download = link.download;
        file.click();
        URL.revokeObjectURL(file.href);
      };
    }
  }

  function copying() {
    if (!navigator.clipboard) return;
    for (const snippet of document.querySelectorAll(".snippet")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy: " + snippet.querySelector("summary").textContent);
      button.onclick = async () => {
        await navigator.clipboard.writeText(snippet.querySelector("code").textContent);
        button.textContent = "Copied";
      };
      snippet.append(button);
    }
  }

  function tell(output, isGood, headline, lines) {
    output.className = isGood ? "good" : "bad";
    const strong = document.createElement("strong");
    strong.textContent = headline;
    const list = document.createElement("ul");
    for (const line of lines) {
      const item = document.createElement("li");
      item.textContent = line;
      list.append(item);
    }
    output.replaceChildren(strong, ...(lines.length ? [list] : []));
  }
  const placed = error => error.pointer + ": " + error.message;

  async function send(query, words) {
    const output = find("verdict");
    try {
      const answer = await fetch("/v1/events" + query, {
        method: "POST", body: find("event").value,
        headers: { "Content-Type": "application/json", ...authorization() },
      });
      const body = await answer.json();
      if (!answer.ok) {
        const errors = (body.errors || []).map(placed);
        tell(output, false, answer.status + " " + (body.code || ""), errors.length ? errors : [body.detail].filter(Boolean));
        return false;
      }
      const facts = ["topic", "partition", "offset", "key", "schemaId", "eventId"].filter(name => body[name] !== undefined);
      tell(output, true, words, [...facts.map(name => name + ": " + body[name]), ...(body.warnings || []).map(placed)]);
      return true;
    } catch (error) {
      tell(output, false, "No answer: " + error.message, []);
      return false;
    }
  }
  function payload() {
    const form = find("payload");
    if (!form) return;
    find("event").oninput = () => { find("publish").disabled = true; };
    form.onsubmit = async event => {
      event.preventDefault();
      find("publish").disabled = !await send("?dryRun=true", "Valid. Nothing was stored.");
    };
    find("publish").onclick = async () => {
      find("publish").disabled = true;
      if (await send("", "Published: the log has it.")) refresh();
    };
  }

  function compatibility() {
    const form = find("compatibility");
    if (!form) return;
    form.onsubmit = async event => {
      event.preventDefault();
      const output = find("answer");
      try {
        const answer = await fetch(form.dataset.url, {
          method: "POST", body: JSON.stringify({ schemaType: form.dataset.kind, schema: find("candidate").value }),
          headers: { "Content-Type": "application/vnd.schemaregistry.v1+json", ...authorization() },
        });
        const body = await answer.json();
        if (!answer.ok) tell(output, false, "It cannot be registered", [body.message]);
        else if (body.is_compatible) tell(output, true, "It fits. Nothing was registered.", []);
        else tell(output, false, "It breaks readers", body.messages || []);
      } catch (error) {
        tell(output, false, "No answer: " + error.message, []);
      }
    };
  }

  // What went on meanwhile, as the server writes it; nothing is replaced that holds the focus, or in a tab that nobody sees.
  let next;
  async function refresh() {
    clearTimeout(next);
    const here = find("activity")?.closest("section");
    if (!here) return;
    if (!document.hidden && !here.contains(document.activeElement)) {
      try {
        const answer = await fetch(location.href, { headers: authorization(), cache: "no-store" });
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const section = fresh.getElementById("activity")?.closest("section");
        if (answer.ok && section && here.isConnected) here.replaceWith(document.adoptNode(section));
      } catch { /* The next try may reach it. */ }
    }
    clearTimeout(next);
    next = setTimeout(refresh, 5000);
  }
  function live() {
    clearTimeout(next);
    if (find("activity")) next = setTimeout(refresh, 5000);
  }

  function begin() {
    credential();
    search();
    downloads();
    copying();
    payload();
    compatibility();
    live();
    document.dispatchEvent(new Event("weirgate:page"));
  }
  begin();
  if (kept()) readAgain();
})();
