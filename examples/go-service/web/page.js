"use strict";

// Asks every second, through the replica that served the page, what each replica holds, and shows where they agree. Everything that
// comes from a replica goes into the page as text, never as markup.

const INTERVAL = 1000;
const verdict = document.getElementById("verdict");
const main = document.getElementById("replicas");
const cards = [];

function make(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

// Text is only touched where it changes, so that a screen reader says what is new, and nothing else.
function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
    return true;
  }
  return false;
}

// ---- One replica ------------------------------------------------------------------------------------------------------------

function makeCard(index) {
  const element = make("replica");
  main.append(element);
  const find = (selector) => element.querySelector(selector);
  const card = {
    index, element, find, rows: { downloads: new Map(), flags: new Map() },
    figure: (name) => find(`[data-figure="${name}"]`),
  };
  onName(find(".add-download"), (file) => countDownload(card, file));
  onName(find(".add-flag"), (flag) => setFlag(card, flag, true));
  return card;
}

// A form of one field: for what is not on the page yet.
function onName(form, use) {
  form.onsubmit = (event) => {
    event.preventDefault();
    use(form.elements[0].value);
    form.reset();
  };
}

function countDownload(card, file) {
  return write(card, "POST", `downloads/${encodeURIComponent(file)}`);
}

function setFlag(card, flag, value) {
  return write(card, "PUT", `flags/${encodeURIComponent(flag)}`, JSON.stringify(value));
}

// The rows of a list, by name: kept between polls, so that the focus stays where it is.
function showRows(card, list, template, items, show) {
  const rows = card.rows[list];
  const wanted = new Set(items.map((item) => item.key));
  for (const [key, row] of rows) {
    if (!wanted.has(key)) {
      row.remove();
      rows.delete(key);
    }
  }
  const parent = card.find("." + list);
  items.forEach((item, place) => {
    if (!rows.has(item.key)) {
      rows.set(item.key, make(template));
    }
    const row = rows.get(item.key);
    if (parent.children[place] !== row) {
      parent.insertBefore(row, parent.children[place] || null);
    }
    show(row, item);
  });
}

function flash(element) {
  element.classList.remove("changed");
  void element.offsetWidth; // Without this the animation would not begin anew.
  element.classList.add("changed");
}

function showDownloads(card, name, downloads) {
  const most = Math.max(1, ...downloads.map((download) => download.count));
  const items = downloads.map((download) => ({ key: download.file, ...download }));
  showRows(card, "downloads", "download", items, (row, { file, count }) => {
    setText(row.querySelector(".name"), file);
    row.querySelector(".name").title = file;
    row.querySelector("i").style.width = `${Math.max(2, (100 * count) / most)}%`;
    const output = row.querySelector(".count");
    const isNew = output.textContent === "";
    if (setText(output, count.toLocaleString("en")) && !isNew) {
      flash(output);
    }
    const button = row.querySelector("button");
    button.setAttribute("aria-label", `Count a download of ${file} at ${name}`);
    button.onclick = () => countDownload(card, file);
  });
}

function showFlags(card, name, flags) {
  showRows(card, "flags", "flag", flags.map((flag) => ({ key: flag.name, ...flag })), (row, flag) => {
    setText(row.querySelector(".name"), flag.name);
    const isSwitch = typeof flag.value === "boolean";
    const value = row.querySelector(".value");
    setText(value, isSwitch ? (flag.value ? "on" : "off") : JSON.stringify(flag.value));
    const button = row.querySelector("button");
    button.hidden = !isSwitch;
    button.setAttribute("aria-checked", String(flag.value === true));
    button.setAttribute("aria-label", `Flag ${flag.name} at ${name}`);
    button.onclick = () => setFlag(card, flag.name, !flag.value);
  });
}

function showAudit(card, entries) {
  const list = card.find(".audit");
  const lines = entries.toReversed().map((entry) => {
    const what = entry.value === undefined ? `${entry.flag} deleted` : `${entry.flag} = ${JSON.stringify(entry.value)}`;
    return { time: new Date(entry.at).toLocaleTimeString("en-GB"), what, where: entry.replica };
  });
  if (list.dataset.shown === JSON.stringify(lines)) {
    return;
  }
  list.dataset.shown = JSON.stringify(lines);
  list.replaceChildren(
    ...lines.map(({ time, what, where }) => {
      const line = document.createElement("li");
      for (const [kind, text] of [["time", time], ["span", what], ["em", where]]) {
        line.append(Object.assign(document.createElement(kind), { textContent: text }));
      }
      return line;
    }),
  );
}

// The digest as eight colours: equal digests are seen to be equal.
function showPrint(element, digest) {
  if (element.dataset.digest === digest) {
    return;
  }
  element.dataset.digest = digest;
  element.replaceChildren(
    ...Array.from({ length: 8 }, (_, place) => {
      const square = document.createElement("i");
      const byte = parseInt(digest.slice(2 * place, 2 * place + 2), 16);
      square.style.background = `oklch(${0.55 + (byte % 4) * 0.08} 0.14 ${Math.round((byte / 256) * 360)})`;
      return square;
    }),
  );
}

function age(milliseconds) {
  return milliseconds === null ? "never" : `${(milliseconds / 1000).toFixed(1)} s ago`;
}

const STATES = { agrees: "agrees", lags: "lags", gone: "gone", unready: "not ready" };

function showCard(card, seen, state) {
  card.element.dataset.state = state;
  setText(card.find(".pill"), STATES[state]);
  setText(card.find(".url"), seen.url.replace(/^https?:\/\//, ""));
  card.find(".url").href = seen.url;
  const status = seen.status;
  for (const button of card.element.querySelectorAll("button")) {
    button.disabled = !status;
  }
  if (!status) {
    setText(card.find("h2"), card.name || `replica ${card.index + 1}`);
    setText(card.figure("age"), "no answer");
    return; // What it last said stays, dimmed.
  }
  card.name = status.replica;
  setText(card.find("h2"), status.replica);
  setText(card.find(".hex"), status.digest.slice(0, 16));
  card.element.dataset.digest = status.digest;
  card.find(".hex").title = status.digest;
  showPrint(card.find(".print"), status.digest);
  setText(card.figure("age"), age(status.age_ms));
  setText(card.figure("tail"), `${status.tail} ${status.tail === 1 ? "segment" : "segments"}`);
  setText(card.figure("events"), status.events.toLocaleString("en"));
  setText(card.figure("audit"), `${status.audit_len} ${status.audit_len === 1 ? "change" : "changes"}`);
  showDownloads(card, status.replica, status.downloads);
  showFlags(card, status.replica, status.flags);
  showAudit(card, status.audit);
}

// ---- All of them --------------------------------------------------------------------------------------------------------------

// The digest that most replicas hold; of two that are as frequent, none.
function commonDigest(statuses) {
  const frequency = new Map();
  for (const status of statuses) {
    frequency.set(status.digest, (frequency.get(status.digest) || 0) + 1);
  }
  const [first, second] = [...frequency].sort((a, b) => b[1] - a[1]);
  return first && (!second || first[1] > second[1]) ? first[0] : undefined;
}

function stateOf(seen, common) {
  if (!seen.status) {
    return "gone";
  }
  if (seen.status.digest !== common) {
    return "lags";
  }
  return seen.status.ready ? "agrees" : "unready";
}

function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function say(state, text) {
  verdict.dataset.state = state;
  setText(verdict, text);
}

function show(replicas) {
  while (cards.length < replicas.length) {
    cards.push(makeCard(cards.length));
  }
  const common = commonDigest(replicas.filter((seen) => seen.status).map((seen) => seen.status));
  const states = replicas.map((seen) => stateOf(seen, common));
  replicas.forEach((seen, index) => showCard(cards[index], seen, states[index]));
  const those = (state) => cards.filter((_, index) => states[index] === state).map((card) => card.name || `replica ${card.index + 1}`);
  const [gone, lagging] = [those("gone"), those("lags")];
  const parts = [];
  if (gone.length > 0) {
    parts.push(`${list(gone)} ${gone.length === 1 ? "does" : "do"} not answer`);
  }
  if (lagging.length === replicas.length - gone.length && lagging.length > 1) {
    parts.push("the others differ");
  } else if (lagging.length > 0) {
    parts.push(`${list(lagging)} ${lagging.length === 1 ? "lags" : "lag"}`);
  } else if (gone.length > 0 && gone.length < replicas.length - 1) {
    parts.push("the others agree");
  }
  if (parts.length === 0) {
    say("agrees", replicas.length === 1 ? "One replica" : `All ${replicas.length} replicas agree`);
  } else {
    const text = parts.join("; ");
    say(gone.length > 0 ? "gone" : "lags", gone.length === 0 && text === "the others differ" ? "The replicas differ" : text);
  }
}

async function write(card, method, path, body) {
  const note = card.find(".note");
  try {
    const response = await fetch(`/replicas/${card.index}/${path}`, { method, body });
    if (response.ok) {
      setText(note, "");
    } else {
      const { error } = await response.json();
      setText(note, error.outcome === "unknown" ? `Not known yet whether it counts: ${error.message}` : `Not written: ${error.message}`);
    }
  } catch (error) {
    setText(note, `Not known whether it counts: ${error.message}`);
  }
  await ask();
}

// A poll and a write may ask at the same time; only what was asked last is shown.
let asked = 0;

async function ask() {
  const number = ++asked;
  try {
    const response = await fetch("/replicas");
    const { replicas } = await response.json();
    if (number === asked) {
      show(replicas);
    }
  } catch {
    if (number === asked) {
      show(cards.map((card) => ({ url: card.find(".url").href, error: "not asked" })));
      say("gone", "The replica that serves this page does not answer");
    }
  }
}

async function poll() {
  await ask();
  setTimeout(poll, INTERVAL);
}

poll();
