// The page: who is here, which view is open, and what happens when something is pressed.
import * as api from "./api.js";
import { customerCard } from "./card.js";
import { button, choices, empty, language, make, named, names, setLanguage, settings, t } from "./dom.js";
import { drawList, offsetOf, snoozedUntil } from "./list.js";
import { drawPosts } from "./posts.js";
import * as queue from "./queue.js";
import { drawResults } from "./results.js";
import { drawSearch, results } from "./search.js";
import { forgetOld, wipe } from "./store.js";
import { drawTeam } from "./team.js";

const $ = (id) => document.getElementById(id);
const ORDER = "nba-order";
const DAY = "nba-day";
const state = {
  me: null, view: "list", list: null, found: null, text: "", order: choices.get(ORDER) ?? "by_rank",
  customer: null, opener: null, told: new Set(), laid: new Set(),
};
// Views beside the list: what to load, how to draw it, and for whom.
export const VIEWS = {
  list: { load: loadList, draw: () => drawList(state.list, queue.closedHere(), listHandlers()) },
  posts: { load: async (id) => { state.posts = id ? await api.posts(id) : { posts: [] }; }, draw: () => drawPosts(state.posts, queue.closedHere(), postHandlers()) },
  search: { load: async () => { state.found = null; state.text = ""; }, draw: () => drawSearch(state.found, state.text, searchHandlers()) },
  results: { load: async (id) => { state.results = await api.results(id); }, draw: () => drawResults(state.results) },
  team: { leads: true, load: async () => { state.team = clerk()?.store_id ? await api.team(clerk().store_id) : null; }, draw: () => drawTeam(state.team, teamHandlers()) },
};

// -- who is here ------------------------------------------------------------------------

const clerk = () => state.me?.clerks.find((one) => one.clerk_id === $("clerk").value);
const clerkName = (one) => named(one?.name) || one?.clerk_id || "";
// Only in one's own list something is recorded; open access lets everybody try.
const acts = () => state.me.is_open || state.me.own === $("clerk").value;

// -- notices and errors --------------------------------------------------------------------

function notify(text, undo) {
  const parts = [make("span", { text })];
  if (undo) parts.push(button(t("undo"), () => { undo(); $("notice").hidden = true; }));
  $("notice").replaceChildren(...parts);
  $("notice").hidden = false;
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => { $("notice").hidden = true; }, undo ? queue.UNDO_SECONDS * 1000 : 4000);
}

// Run a step that calls the API; a missing or wrong key asks for one, anything else is said.
async function attempt(step) {
  try {
    return await step();
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 401 && state.sidebar) ended();
    else if (error instanceof api.ApiError && (error.status === 401 || error.status === 429)) askForKey(error.status);
    else if (error instanceof api.OfflineError) notify(t("no_network"));
    else notify(t("failed")(error.message));
    return undefined;
  }
}

// A sidebar asks for no key: the chat app opens it anew.
function ended() {
  document.body.classList.add("sidebar");
  $("card").replaceChildren(empty(t("sidebar_ended")));
  $("card").hidden = false;
}

function askForKey(status) {
  const wrong = api.hasKey();
  api.forgetKey();
  $("sign-in-error").textContent = status === 429 ? t("many_keys") : t("wrong_key");
  $("sign-in-error").hidden = !wrong;
  if (!$("sign-in").open) $("sign-in").showModal();
}

// -- words, tabs, address ------------------------------------------------------------------

function writeTexts() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = t("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  $("language").textContent = t("other_language");
  $("language").lang = language === "zh" ? "en" : "zh-CN";
  $("leave").hidden = !api.hasKey();
  drawTabs();
  drawOnline();
}

function drawTabs() {
  const shown = Object.keys(VIEWS).filter((name) => !VIEWS[name].leads || state.me?.leads);
  $("tabs").replaceChildren(...shown.map((name) => button(t(name), () => go(name), {
    id: `tab-${name}`, aria: name === state.view ? { current: "page" } : {},
  })));
}

function drawOnline() {
  const waiting = queue.waiting().filter((row) => row.held <= Date.now()).length;
  $("online").textContent = api.network.online ? "" : [t("offline"), waiting ? t("waiting")(waiting) : ""].filter(Boolean).join(" · ");
}

// The address names what is shown: #VIEW/CLERK or #VIEW/CLERK/CUSTOMER.
const link = () => location.hash.slice(1).split("/").map(decodeURIComponent);
function setLink() {
  if (state.external) return;
  const parts = [state.view, $("clerk").value, state.customer].filter(Boolean);
  history.replaceState(null, "", `#${parts.map(encodeURIComponent).join("/")}`);
}

function drawClerks() {
  const [, linked] = link();
  const busy = state.me.clerks.find((one) => one.planned > 0);
  const chosen = $("clerk").value || linked || state.me.own || busy?.clerk_id;
  $("clerk").replaceChildren(...state.me.clerks.map((one) => make("option", { value: one.clerk_id, text: `${clerkName(one)} (${one.planned})` })));
  if (state.me.clerks.some((one) => one.clerk_id === chosen)) $("clerk").value = chosen;
  $("clerk").disabled = state.me.clerks.length < 2;
}

// -- views ----------------------------------------------------------------------------------

function draw() {
  const parts = state.me?.clerks.length ? VIEWS[state.view].draw() : [empty(t("no_clerks"))];
  $("main").replaceChildren(...parts);
}

async function show(view) {
  state.view = VIEWS[view] && (!VIEWS[view].leads || state.me.leads) ? view : "list";
  setLink();
  drawTabs();
  $("main").setAttribute("aria-busy", "true");
  await VIEWS[state.view].load($("clerk").value);
  draw();
  $("main").removeAttribute("aria-busy");
}

function go(view) {
  attempt(async () => {
    await show(view);
    window.scrollTo(0, 0);
    if (view === "search") $("find").focus();
  });
}

async function start() {
  const [me, known] = await Promise.all([api.clerks(), api.names()]);
  state.me = me;
  Object.assign(settings, me.page);
  Object.assign(names, known);
  const [view, , customer] = link();
  drawClerks();
  writeTexts();
  if (state.external) return sidebar();
  await show(view);
  if (customer) await openCard(customer);
}

// -- the list -------------------------------------------------------------------------------

async function loadList(id) {
  state.list = id ? await api.actions(id) : null;
  if (!state.list) return;
  tell(state.list.actions, "shown");
  if (acts() && api.network.online) keepCards();
}

// Tell each thing about an action once, of one's own list only.
function tell(actions, kind) {
  if (!acts()) return;
  for (const action of actions) {
    if (action.status !== "new" || state.told.has(`${kind} ${action.action_id}`)) continue;
    state.told.add(`${kind} ${action.action_id}`);
    queue.add({ action_id: action.action_id, kind, position: action.rank });
  }
}

// Today's cards are laid by for when there is no network.
async function keepCards() {
  for (const { customer_id: customer } of state.list.actions.slice(0, 20)) {
    if (!api.network.online) return;
    if (state.laid.has(customer)) continue;
    state.laid.add(customer);
    await api.card(customer).catch(() => state.laid.delete(customer));
  }
}

function listHandlers() {
  return {
    acts: acts(), clerkName: clerkName(clerk()), order: state.order,
    open: (customer, action) => { if (action) tell([action], "opened"); attempt(() => openCard(customer)); },
    until: (choice) => snoozedUntil(choice, api.now(), offsetOf(state.list.now)),
    close, copy,
    sort: (order) => { state.order = order; choices.set(ORDER, order); draw(); },
    more: () => attempt(async () => {
      const page = await api.actions($("clerk").value, state.list.next_cursor);
      state.list = { ...page, actions: [...state.list.actions, ...page.actions], closed: state.list.closed };
      tell(page.actions, "shown");
      draw();
    }),
  };
}

function close(action, entry) {
  const item = document.querySelector(`[data-action="${CSS.escape(action.action_id)}"]`);
  const following = item?.nextElementSibling?.dataset.action;
  const id = queue.add({ action_id: action.action_id, position: action.rank, ...entry }, true);
  draw();
  document.querySelector(`[data-action="${CSS.escape(following ?? "")}"] .copy`)?.focus({ preventScroll: true });
  notify(t("done")[entry.kind], () => { queue.undo(id); draw(); });
}

async function copy(text, chat) {
  try {
    await navigator.clipboard.writeText(text);
    notify(t("copied"));
  } catch {
    notify(text);
  }
  if (chat) location.assign(chat);
}

queue.events.changed = () => drawOnline();
queue.events.refused = (why) => { notify(t("failed")(why)); if (state.view === "list") attempt(reload); };
api.network.changed = () => { drawOnline(); if (api.network.online) queue.flush(); };
async function reload() {
  await show(state.view);
}

const postHandlers = () => ({
  acts: acts(), copy,
  close: (post, entry) => {
    const id = queue.add({ post: { clerk: $("clerk").value, audience: post.audience }, ...entry }, true);
    draw();
    notify(t("done")[entry.kind], () => { queue.undo(id); draw(); });
  },
});

const teamHandlers = () => ({
  nameOf: (id) => clerkName(state.me.clerks.find((one) => one.clerk_id === id)) || id || "",
  accept: (one, to) => attempt(async () => {
    const done = await api.handOver(one.customer_id, to);
    Object.assign(one, done);
    draw();
    notify(t("accepted"));
  }),
});

// -- the card -------------------------------------------------------------------------------

const searchHandlers = () => ({
  open: (customer) => attempt(() => openCard(customer)),
  find: (text) => attempt(async () => {
    state.text = text;
    state.found = text.trim() ? await api.search($("clerk").value, text.trim()) : null;
    $("found")?.replaceChildren(...results(state.found, searchHandlers()));
  }),
});

const isPhone = () => matchMedia("(max-width: 899px)").matches;

async function openCard(customer, again = false) {
  if (!state.customer) state.opener = document.activeElement;
  const [card, next] = await Promise.all([api.card(customer), api.nextActions(customer).catch(() => null)]);
  if (again && state.customer !== customer) return; // closed meanwhile: it stays closed
  state.customer = customer;
  setLink();
  const noted = (step) => attempt(async () => { await step(); notify(t("saved")); await openCard(customer, true); });
  $("card").replaceChildren(...customerCard(card, next, {
    acts: acts(), close: closeCard, copy,
    addTag: (tag) => noted(() => api.putTag(customer, tag)),
    removeTag: (tag) => noted(() => api.deleteTag(customer, tag)),
    saveNote: (text) => noted(() => (text ? api.putTag(customer, "note", text) : api.deleteTag(customer, "note"))),
  }));
  $("card").setAttribute("aria-labelledby", "card-title");
  $("card").setAttribute("role", isPhone() ? "dialog" : "complementary");
  if (isPhone()) $("card").setAttribute("aria-modal", "true");
  $("card").hidden = $("shade").hidden = false;
  document.body.classList.add("with-card");
  for (const part of ["main", "tabs"]) $(part).inert = isPhone();
  $("card").scrollTop = 0;
  $("card").querySelector(".close").focus({ preventScroll: true });
}

function closeCard() {
  if (state.external) return;
  $("card").hidden = $("shade").hidden = true;
  $("card").removeAttribute("aria-modal");
  document.body.classList.remove("with-card");
  for (const part of ["main", "tabs"]) $(part).inert = false;
  state.customer = null;
  setLink();
  if (state.opener?.isConnected) state.opener.focus({ preventScroll: true });
}

// -- events of the page -----------------------------------------------------------------------

$("clerk").addEventListener("change", () => attempt(async () => { if (state.customer) closeCard(); await show(state.view); }));
$("shade").addEventListener("click", closeCard);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && state.customer && !$("sign-in").open) closeCard(); });
$("leave").addEventListener("click", async () => {
  await queue.flush(true).catch(() => {});
  await wipe();
  location.hash = "";
  location.reload();
});
$("language").addEventListener("click", () => {
  setLanguage(language === "zh" ? "en" : "zh");
  writeTexts();
  if (state.me) { drawClerks(); draw(); }
  if (state.customer) attempt(() => openCard(state.customer));
});
$("sign-in").addEventListener("close", () => attempt(async () => {
  await api.rememberKey($("key").value.trim());
  $("key").value = "";
  await start();
}));
$("sign-in").addEventListener("cancel", (event) => event.preventDefault());
addEventListener("online", () => attempt(async () => { await queue.flush(); await reload(); }));
addEventListener("offline", () => { api.network.online = false; drawOnline(); });
// Not every return of the network is told, and the first request after one may still fail.
const RETRY_SECONDS = 5;
async function comeBack() {
  await api.clerks();
  if (api.network.online) { await queue.flush(); await reload(); }
}
setInterval(() => {
  if (!api.network.online && navigator.onLine && !state.external) attempt(comeBack);
}, RETRY_SECONDS * 1000);
addEventListener("pagehide", () => { queue.flush(true); });
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") queue.flush(true); });

// A link that the store manager sends signs in: #key=… is taken and leaves the address.
// #sidebar=TOKEN&customer=ID, or #external=ID with a key or without, is the sidebar of a chat app: one
// customer's card alone.
async function fromLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!["key", "external", "sidebar"].some((name) => given.has(name))) return;
  state.sidebar = given.has("sidebar") ? given.get("customer") : null;
  state.external = given.get("external") ?? state.sidebar;
  history.replaceState(null, "", location.pathname);
  if (given.has("sidebar")) api.useToken(given.get("sidebar"));
  if (given.has("key")) await api.rememberKey(given.get("key"));
}

async function sidebar() {
  document.body.classList.add("sidebar");
  const customer = state.sidebar ?? (await api.externalId(state.external)).customer_id;
  await openCard(customer);
}

async function begin() {
  await Promise.all([api.recallKey(), api.recallClock()]).catch(() => {});
  await fromLink();
  writeTexts();
  if (state.sidebar) return attempt(start);
  await queue.recall().catch(() => {});
  const today = new Date().toISOString().slice(0, 10);
  if (navigator.onLine && choices.get(DAY) !== today) {
    choices.set(DAY, today);
    await forgetOld(["answer v1/customers/"]).catch(() => {});
  }
  await attempt(start);
  queue.flush();
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
}
begin();
