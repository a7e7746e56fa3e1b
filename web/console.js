/**
 * The console page: asks for calls and actors, shows them, and has the library play what is clicked. This module only
 * joins the others; each of them says what it owns.
 */

import { ActorsView } from "./console/actors-view.js";
import { CallsList } from "./console/calls-list.js";
import { Decks } from "./console/decks.js";
import { byId, mark, write } from "./console/dom.js";
import { Language, preferred } from "./console/i18n.js";
import { listenToKeys, showShortcuts } from "./console/keys.js";
import { say, tell, trouble } from "./console/notices.js";
import { columnsOf, PeakWatch } from "./console/peak-watch.js";
import { load, save } from "./console/preferences.js";
import { server } from "./console/server.js";
import { Session } from "./console/session.js";
import { Store } from "./console/store.js";
import { applyTheme, nextTheme, onSystemTheme } from "./console/theme.js";
import { takeTokenOfAddress, token } from "./console/token.js";
import { Palette, Waveforms } from "./console/waveform.js";
import { Patchbay } from "./patchbay.js";

const POLL_MS = 1000;
const SLOW_POLLS = 5; // the actors, while nobody looks at them
const FAILURES_SHOWN = 2; // a console that is restarted misses one answer
const CALM_MS = 1000; // how often waveforms move for those who ask for less motion,
const WALL_MS = 500; // … where there are many of them,
const BEAT_MS = 300; // … and else: it is what most of the page's work is
const WALL = 16; // so many in sight are many
const COUNT_SAID_MS = 15_000;

takeTokenOfAddress();

const preferences = load();
const savePreferences = () => save(preferences);
const language = new Language(preferred(preferences.language ? [preferences.language] : navigator.languages));
const store = new Store();
const patchbay = new Patchbay({ token });
const watch = new PeakWatch(patchbay);
const waveforms = new Waveforms();
applyTheme(preferences.theme, language);
const palette = new Palette();
const session = new Session(language);
const may = (/** @type {string} */ right) => session.may(right);
const peaksOf = (/** @type {string} */ id) => watch.peaksOf(id);

const decks = new Decks({
  patchbay, language, store, waveforms, palette, peaksOf, may, preferences, savePreferences, say, failed,
  hasPeaks: () => watch.sent,
  stopped: (id) => void (store.calls.has(id) || watch.drop(id)),
  follow: (options) => (session.audible && may("events") ? patchbay.events(options) : null),
  mayHear: () => session.mayHear(),
  changed: () => list.refresh(),
});
const list = new CallsList({
  language, store, waveforms, palette, peaksOf,
  isHeard: (id) => decks.has(id),
  toggle: (id, add) => decks.toggle(id, add),
});
const actors = new ActorsView(language, may, tell);

/** Something went wrong, in words where it has any. @param {any} error */
function failed(error) {
  const notice = error?.notice ?? { code: "", words: String(error?.message ?? error) };
  tell(language.notice(notice), "bad");
}

// ---- what the server says

let polls = 0;
let failures = 0;
let status = 0; // of the last answer
let lastSaid = { count: -1, at: 0 };

async function refresh() {
  const wantsActors = view === "system" || polls++ % SLOW_POLLS === 0;
  const asked = Date.now();
  const [calls, found] = await Promise.all([server.calls(), wantsActors ? server.actors() : null]);
  if (found) actors.take(found);
  if (calls.status === 200) takeCalls(calls, asked);
  await takeStatus(calls.status);
}

/** @param {import("./console/server.js").Answer} answer @param {number} asked */
function takeCalls({ value, date }, asked) {
  store.compareClocks(date, asked);
  const { came, went } = store.take(value?.calls);
  for (const { id } of came) watch.watch(id);
  for (const { id } of went) if (!decks.has(id)) watch.drop(id);
  list.show(Date.now());
  const count = store.calls.size;
  document.title = count ? `(${count}) Patchbay` : "Patchbay";
  if (count !== lastSaid.count && performance.now() - lastSaid.at > COUNT_SAID_MS) {
    if (lastSaid.count >= 0) say(language.count("said-calls", count));
    lastSaid = { count, at: performance.now() };
  }
}

/** @param {number} answered */
async function takeStatus(answered) {
  status = answered;
  const wasAway = failures >= FAILURES_SHOWN;
  failures = status === 200 ? 0 : failures + 1;
  if (status === 200 && wasAway) tell(language.t("connection-back"), "good");
  if (status === 200 && (!session.known || wasAway)) await openSession();
  showTrouble();
  if (status === 401) await session.ask("token-needed");
}

async function openSession() {
  await session.open();
  if (session.audible) watch.allow();
  actors.show();
}

function showTrouble() {
  if (status === 401) trouble(language.t("token-needed"));
  else if (status === 403) trouble(language.t("forbidden", { right: "admin" }));
  else if (failures >= FAILURES_SHOWN) trouble(language.t("lost-connection"));
  else if (decks.any && patchbay.state === "waiting") trouble(language.t("audio-connection"));
  else trouble("");
}

async function keepFresh() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

// ---- what the library says

patchbay.on("notice", (notice) => {
  if (notice.code === "token_refused" || notice.code === "token_expired") void session.ask("token-needed");
  else if (decks.any) tell(language.notice(notice), "bad");
});
patchbay.on("state", showTrouble);

// ---- what people do

/** @type {"calls" | "system"} */
let view = "calls";

/** @param {"calls" | "system"} wanted */
function show(wanted) {
  view = wanted;
  for (const name of ["calls", "system"]) {
    byId(`${name}-view`).hidden = name !== wanted;
    mark(byId(`show-${name}`), "aria-current", name === wanted ? "page" : null);
  }
  if (location.hash.slice(1) !== wanted) history.replaceState(null, "", wanted === "calls" ? "." : `#${wanted}`);
  void refresh();
}

function search() {
  show("calls");
  byId("search").focus();
}

function escape() {
  const field = /** @type {HTMLInputElement} */ (byId("search"));
  if (document.activeElement === field || field.value) {
    field.value = "";
    find();
    list.focus(list.current);
  } else decks.stopAll();
}

function find() {
  store.query = /** @type {HTMLInputElement} */ (byId("search")).value;
  list.show(Date.now());
}

function showWall() {
  document.body.classList.toggle("wall", preferences.wall);
  mark(byId("density"), "aria-pressed", String(preferences.wall));
}

function toggleWall() {
  preferences.wall = !preferences.wall;
  savePreferences();
  showWall();
}

function changeTheme() {
  preferences.theme = nextTheme(preferences.theme);
  savePreferences();
  applyTheme(preferences.theme, language);
  recolour();
}

function recolour() {
  palette.refresh();
  waveforms.repaint();
}

function changeLanguage() {
  language.use(language.code === "en" ? "fr" : "en");
  preferences.language = language.code;
  savePreferences();
  relabel();
}

/** Write everything that depends on the language. */
function relabel() {
  document.documentElement.lang = language.code;
  language.apply(document);
  const other = language.code === "en" ? "fr" : "en";
  const button = byId("language");
  write(button, other.toUpperCase());
  button.lang = other;
  mark(button, "aria-label", `${other.toUpperCase()} – ${language.t("switch-language")}`);
  applyTheme(preferences.theme, language);
  session.show();
  list.show(Date.now());
  decks.relabel();
  actors.relabel();
}

const keys = /** @type {HTMLInputElement} */ (byId("keys"));
keys.checked = preferences.keys;
keys.addEventListener("change", () => {
  preferences.keys = keys.checked;
  savePreferences();
});
listenToKeys({
  wanted: () => preferences.keys,
  move: (step) => list.move(step),
  add: () => decks.toggle(list.current, true),
  press: () => decks.press(),
  release: () => decks.release(),
  mute: (track) => decks.toggleMute(track),
  view: show,
  wall: toggleWall,
  help: () => showShortcuts(language),
  search,
  escape,
});
byId("search").addEventListener("input", find);
byId("show-calls").addEventListener("click", () => show("calls"));
byId("show-system").addEventListener("click", () => show("system"));
byId("density").addEventListener("click", toggleWall);
byId("theme").addEventListener("click", changeTheme);
byId("language").addEventListener("click", changeLanguage);
byId("help").addEventListener("click", () => showShortcuts(language));
byId("sign-out").addEventListener("click", () => void session.end());
onSystemTheme(recolour);
addEventListener("blur", () => decks.releaseAll()); // a key that is let go elsewhere is not seen here
document.addEventListener("visibilitychange", () => {
  if (document.hidden) decks.releaseAll();
  else void refresh();
});

// ---- time goes on

setInterval(() => {
  if (document.hidden) return;
  list.tick(Date.now());
  decks.tick(Date.now());
}, 1000);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function beat() {
  const ms = calm.matches ? CALM_MS : waveforms.inSight > WALL ? WALL_MS : BEAT_MS;
  setTimeout(() => {
    watch.beat(columnsOf(ms));
    if (!document.hidden) requestAnimationFrame(() => waveforms.update());
    beat();
  }, ms);
}

beat();

showWall();
relabel();
show(location.hash === "#system" ? "system" : "calls");
void keepFresh();
