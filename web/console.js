/**
 * The console page: asks for calls and actors each second and shows them.
 *
 * What calls say of themselves comes from strangers, so it only ever becomes text (textContent), never markup.
 */

import { actorDetails, codec, count, duration, text } from "./format.js";

// A token in the address has done its work: the cookie has it now, and it must not be seen, kept or passed on.
if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", location.pathname);

const INTERVAL_MS = 1000;
const TIMEOUT_MS = 3000;
const byId = (id) => document.getElementById(id);

/** JSON of a path, or null when there is no answer of that kind. Addresses are relative, so a proxy's prefix is kept. */
async function ask(path) {
  try {
    const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/** "ready", "not ready: …", or null when nobody answers. */
async function askReadiness() {
  try {
    const response = await fetch("readyz", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { ok: response.ok, words: (await response.text()).trim() };
  } catch {
    return null;
  }
}

/** Keep one child for each key, in order, and have `fill` write into it. Reused children keep selection and scroll. */
function keyed(parent, items, keyOf, create, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const key = keyOf(item);
    const child = known.get(key) ?? create();
    known.delete(key);
    child.dataset.key = key;
    fill(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  for (const child of known.values()) child.remove();
}

function write(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

const CALL_CLASSES = ["", "", "number", "", "number", "number", "number", "number", "id"];

function callRow() {
  const row = document.createElement("tr");
  for (const name of CALL_CLASSES) {
    const cell = document.createElement("td");
    cell.className = name;
    row.append(cell);
  }
  return row;
}

function fillCall(row, call) {
  const id = text(call.call_control_id);
  const values = [
    text(call.from) || "unknown",
    text(call.to) || "unknown",
    duration((Date.now() - Date.parse(call.started_at)) / 1000),
    codec(call.codec, call.sample_rate),
    count(call.listeners),
    count(call.frames?.inbound),
    count(call.frames?.outbound),
    count(call.gaps),
    id,
  ];
  values.forEach((value, index) => write(row.cells[index], value));
  row.cells[7].classList.toggle("warn", call.gaps > 0);
  row.cells[8].title = id;
}

function showCalls(answer) {
  if (answer === null) return; // what was last known is better than a list that looks empty
  const calls = answer.calls ?? [];
  write(byId("calls-count"), String(calls.length));
  byId("calls-empty").hidden = calls.length > 0;
  byId("calls-table").hidden = calls.length === 0;
  keyed(byId("calls"), calls, (call) => text(call.call_control_id || call.stream_id), callRow, fillCall);
}

function actorCard() {
  const card = document.createElement("li");
  card.className = "card";
  card.append(document.createElement("h3"), document.createElement("p"), document.createElement("p"));
  return card;
}

function fillActor(card, actor) {
  const [name, state, details] = card.children;
  card.dataset.state = text(actor.state);
  write(name, actor.index ? `${text(actor.name)} ${actor.index}` : text(actor.name));
  write(state, text(actor.state).toLowerCase());
  write(details, actorDetails(actor));
}

function showActors(answer) {
  const actors = answer?.actors ?? [];
  byId("actors-empty").hidden = actors.length > 0;
  byId("actors").hidden = actors.length === 0;
  keyed(byId("actors"), actors, (actor) => `${actor.name}.${actor.index}.${actor.generation}`, actorCard, fillActor);
}

function showReadiness(readiness) {
  const pill = byId("health");
  pill.dataset.state = readiness === null ? "away" : readiness.ok ? "ready" : "not-ready";
  write(pill, readiness === null ? "no answer" : readiness.words);
}

async function refresh() {
  const [calls, actors, readiness] = await Promise.all([ask("api/calls"), ask("api/actors"), askReadiness()]);
  showCalls(calls);
  showActors(actors);
  showReadiness(readiness);
}

async function keepFresh() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});

keepFresh();
