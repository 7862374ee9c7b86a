import * as api from "./api.js";
import { actionItem, customerCard, language, make, setLanguage, t } from "./view.js";

const $ = (id) => document.getElementById(id);
const state = { clerks: [], list: null, customer: null, told: new Set() };

function notify(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => { $("notice").hidden = true; }, 4000);
}

// Run a step that calls the API; a missing key asks for one, anything else is said aloud.
async function attempt(step) {
  try {
    return await step();
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 401) {
      api.setKey("");
      $("sign-in").showModal();
    } else {
      notify(t("failed")(error.message));
    }
    return undefined;
  }
}

function writeTexts() {
  document.documentElement.lang = language;
  document.title = t("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  $("language").textContent = t("other_language");
  $("leave").hidden = !api.hasKey();
}

// The address names what is shown: #CLERK or #CLERK/CUSTOMER.
const link = () => location.hash.slice(1).split("/").map(decodeURIComponent);
function setLink() {
  const parts = [$("clerk").value, state.customer].filter(Boolean);
  history.replaceState(null, "", `#${parts.map(encodeURIComponent).join("/")}`);
}

function drawClerks() {
  const [linked] = link();
  const busy = state.clerks.find((clerk) => clerk.planned > 0);
  const chosen = $("clerk").value || linked || busy?.clerk_id;
  $("clerk").replaceChildren(...state.clerks.map((clerk) => make("option", {
    value: clerk.clerk_id,
    text: `${clerk.name ?? clerk.clerk_id} (${clerk.planned})`,
  })));
  if (state.clerks.some((clerk) => clerk.clerk_id === chosen)) $("clerk").value = chosen;
}

function drawList() {
  const { list } = state;
  if (!list) {
    $("list").replaceChildren(make("p", { className: "empty", text: t("no_clerks") }));
    return;
  }
  const minutes = list.actions.reduce((sum, action) => sum + (action.minutes ?? 0), 0);
  const parts = [];
  if (list.stale) parts.push(make("p", { className: "stale", role: "alert", text: t("stale")(list.as_of, list.age_days) }));
  parts.push(make("p", { className: "summary", text: t("summary")(list.actions.length, Math.round(minutes), list.as_of) }));
  parts.push(...list.actions.map((action) => actionItem(action, { open, close, copy, stale: list.stale })));
  if (!list.actions.length) parts.push(make("p", { className: "empty", text: t("empty") }));
  if (list.next_cursor) parts.push(make("button", { text: t("more"), on: { click: () => attempt(more) } }));
  $("list").replaceChildren(...parts);
}

// Tell each thing about an action once per page.
async function tell(actions, kind) {
  const news = actions.filter((action) => !state.told.has(`${kind} ${action.action_id}`) && action.status === "new");
  if (!news.length) return;
  news.forEach((action) => state.told.add(`${kind} ${action.action_id}`));
  await api.feedback(news.map((action) => ({ action_id: action.action_id, kind, position: action.rank })));
}

async function load() {
  const clerk = $("clerk").value;
  state.list = clerk ? await api.actions(clerk, $("mode").value) : null;
  drawList();
  if (state.list) await tell(state.list.actions, "shown");
}

async function more() {
  const page = await api.actions($("clerk").value, $("mode").value, state.list.next_cursor);
  state.list = { ...page, actions: [...state.list.actions, ...page.actions] };
  drawList();
  await tell(page.actions, "shown");
}

async function start() {
  const answer = await api.clerks();
  state.clerks = answer.clerks;
  drawClerks();
  writeTexts();
  [, state.customer] = link();
  await load();
  if (state.customer) await drawCard();
}

function open(action, item) {
  document.querySelectorAll(".action.chosen").forEach((one) => one.classList.remove("chosen"));
  item.classList.add("chosen");
  state.customer = action.customer_id;
  setLink();
  attempt(async () => {
    await drawCard();
    await tell([action], "opened");
  });
}

async function drawCard() {
  const customer = state.customer;
  const card = await api.card(customer);
  $("card").replaceChildren(...customerCard(card, {
    close: () => { $("card").hidden = true; state.customer = null; setLink(); },
    addTag: (tag) => attempt(async () => { await api.putTag(customer, tag); await drawCard(); }),
    removeTag: (tag) => attempt(async () => { await api.deleteTag(customer, tag); await drawCard(); }),
  }));
  $("card").hidden = false;
}

function close(action, kind, item) {
  const reason = kind === "dismissed" ? prompt(t("why_not")) : undefined;
  if (reason === null) return;
  item.querySelectorAll(".buttons button").forEach((button) => { button.disabled = true; });
  attempt(async () => {
    const entry = { action_id: action.action_id, kind, position: action.rank };
    if (reason) entry.reason = reason;
    const result = await api.feedback([entry]);
    const refused = result.rows.find((row) => row.status === "refused");
    if (refused) notify(t("failed")(refused.problem.detail));
    else notify(t("done")[kind]);
    await load();
    if (state.customer === action.customer_id) await drawCard();
  });
}

async function copy(text) {
  await navigator.clipboard.writeText(text);
  notify(t("copied"));
}

$("clerk").addEventListener("change", () => { setLink(); attempt(load); });
$("mode").addEventListener("change", () => attempt(load));
$("reload").addEventListener("click", () => attempt(load));
$("leave").addEventListener("click", () => { api.setKey(""); location.reload(); });
$("language").addEventListener("click", () => {
  setLanguage(language === "zh" ? "en" : "zh");
  writeTexts();
  drawList();
  if (state.customer) attempt(drawCard);
});
$("sign-in").addEventListener("close", () => {
  api.setKey($("key").value.trim());
  $("key").value = "";
  attempt(start);
});

writeTexts();
attempt(start);
