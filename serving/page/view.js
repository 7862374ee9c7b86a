// Elements from answers. Text is only ever set as text.
import { TEXTS } from "./texts.js";

export let language = localStorage.getItem("nba-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
export function setLanguage(value) {
  language = value;
  localStorage.setItem("nba-language", value);
}
export const t = (name) => TEXTS[language][name] ?? name;

export function make(tag, options = {}, ...children) {
  const { text, on, data, ...rest } = options;
  const element = Object.assign(document.createElement(tag), rest);
  if (text !== undefined) element.textContent = text;
  for (const [event, handler] of Object.entries(on ?? {})) element.addEventListener(event, handler);
  Object.assign(element.dataset, data ?? {});
  element.append(...children.filter((child) => child != null));
  return element;
}

const locale = () => (language === "zh" ? "zh-CN" : "en-GB");
const number = (value, digits = 0) => Number(value).toLocaleString(locale(), { maximumFractionDigits: digits });
const percent = (value) => Number(value).toLocaleString(locale(), { style: "percent", maximumFractionDigits: 0 });
// Times are shown as the shop's clock shows them: the offset is part of the answer.
const clock = (moment) => moment?.slice(11, 16);
const day = (moment) => moment?.slice(0, 10);

export function actionName(action) {
  return action.action_name?.[language] ?? action.action_type ?? "";
}

function contactWindow(action) {
  if (!action.contact_from) return null;
  const from = clock(action.contact_from);
  const until = clock(action.contact_to);
  const date = day(action.contact_from) === action.as_of ? "" : `${day(action.contact_from)} `;
  return `${date}${from}${until ? `–${until}` : ""}`;
}

function facts(action) {
  return [
    contactWindow(action),
    action.channel && t(action.channel),
    action.minutes != null && t("minutes")(number(action.minutes, 1)),
    action.value != null && t("value")(number(action.value, 1)),
    action.p_repurchase_30d != null && t("p30")(percent(action.p_repurchase_30d)),
    action.expired && t("expired"),
  ].filter(Boolean).join(" · ");
}

function reasons(action, kind) {
  return action.reasons.filter((reason) => reason.kind === kind).map((reason) => reason[language]);
}

export function actionItem(action, handlers) {
  const why = reasons(action, "reason");
  const products = action.products.map((product) => make("span", { text: product.name ?? product.product_id }));
  const item = make("article", {
    className: `action${action.expired ? " expired" : ""}`,
    data: { mode: action.mode, action: action.action_id },
  });
  item.append(
    make("div", { className: "head" },
      make("span", { className: "rank", text: action.rank }),
      make("button", { className: "who", text: action.customer_id, on: { click: () => handlers.open(action, item) } }),
      make("span", { className: "mode", text: t(action.mode) }),
      make("strong", { text: actionName(action) }),
      make("span", { className: "facts", text: facts(action) })),
    products.length ? make("p", { className: "bring" }, `${t("bring")}: `, ...products) : "",
    why.length ? make("ul", { className: "why" }, ...why.map((text) => make("li", { text }))) : "",
    ...reasons(action, "caution").map((text) => make("p", { className: "caution", text })),
    ...reasons(action, "change").map((text) => make("p", { className: "change", text })),
    action.talking_point ? say(action, handlers) : "",
    make("div", { className: "buttons" },
      handlers.stale ? null : make("button", { className: "primary", text: t("sent"), on: { click: () => handlers.close(action, "sent", item) } }),
      make("button", { text: t("skipped"), on: { click: () => handlers.close(action, "skipped", item) } }),
      make("button", { text: t("dismissed"), on: { click: () => handlers.close(action, "dismissed", item) } })));
  return item;
}

function say(action, handlers) {
  return make("div", { className: "say" },
    make("p", { text: action.talking_point, title: t("say") }),
    make("button", { className: "quiet", text: t("copy"), on: { click: () => handlers.copy(action.talking_point) } }));
}

export function customerCard(card, handlers) {
  return [
    make("button", { className: "close quiet", text: t("close"), on: { click: handlers.close } }),
    make("h2", { text: card.customer_id }),
    ...flags(card.state),
    make("h3", { text: t("tags") }),
    tags(card, handlers),
    ...section("news", card.news.map((item) => [clock(item.ts), newsText(item)])),
    ...timing(card.timing),
    ...section("affinity", card.affinity.slice(0, 8).map((one) => [
      one.name ?? one.product_id, one.category ?? "", one.price == null ? "" : number(one.price, 2)])),
    ...section("modes", card.modes.map((one) => [
      t(one.mode), number(one.uplift_amount, 2), one.risk == null ? "" : t("risk")(Number(one.risk).toLocaleString(locale(), { style: "percent", maximumFractionDigits: 1 }))])),
    ...section("purchases", card.purchases.slice(0, 12).map((one) => [
      day(one.ts), one.name ?? one.product_id, `× ${number(one.quantity, 2)}`, one.amount == null ? "" : number(one.amount, 2)])),
    ...section("contacts", card.contacts.slice(0, 12).map((one) => [
      day(one.ts), t(one.mode), one.responses.map(t).join(", ")])),
  ];
}

function flags(state) {
  const shown = [
    state.is_blocked && "blocked",
    !state.is_friend && "not_friend",
    !state.consent_contact && "no_contact",
    !state.consent_profiling && "no_profiling",
  ].filter(Boolean);
  return shown.map((name) => make("p", { className: "flag", text: t(name) }));
}

function newsText(item) {
  const table = item.table === "tags" ? t("tag_change") : t(item.table);
  return item.kind ? `${table}: ${t(item.kind)}` : table;
}

function tags(card, handlers) {
  const input = make("input", { placeholder: t("new_tag"), maxLength: 60 });
  const chips = card.tags.map((tag) => make("span", { className: "tag", text: tag.value ? `${tag.tag}: ${tag.value}` : tag.tag },
    make("button", { text: "×", title: t("remove"), ariaLabel: `${t("remove")} ${tag.tag}`, on: { click: () => handlers.removeTag(tag.tag) } })));
  const form = make("form", {
    className: "add-tag",
    on: { submit: (event) => { event.preventDefault(); if (input.value.trim()) handlers.addTag(input.value.trim()); } },
  }, input, make("button", { text: t("add") }));
  return make("div", {}, make("div", { className: "tags" }, ...chips), form);
}

function section(name, rows) {
  const isNumber = (cell) => /^[×\s]*[-\d.,]+$/.test(cell);
  const body = rows.length
    ? make("table", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) =>
      make("td", { text: cell, className: isNumber(cell) ? "number" : "" })))))
    : make("p", { className: "summary", text: t("nothing") });
  return [make("h3", { text: t(name) }), body];
}

function timing(scores) {
  if (!scores) return [];
  const boxes = [
    [7, scores.p_purchase_7d], [14, scores.p_purchase_14d], [30, scores.p_purchase_30d], [90, scores.p_purchase_90d],
  ].filter(([, p]) => p != null).map(([days, p]) => [percent(p), t("within")(days)]);
  if (scores.expected_days != null) boxes.push([number(scores.expected_days), t("expected_days")]);
  if (scores.p_alive != null) boxes.push([percent(scores.p_alive), t("alive")]);
  return [
    make("h3", { text: t("timing") }),
    make("div", { className: "numbers" }, ...boxes.map(([value, label]) =>
      make("div", {}, make("b", { text: value }), make("span", { text: label })))),
    ...curve(scores.survival),
  ];
}

function curve(survival) {
  if (survival.length < 2) return [];
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "curve");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", t("curve"));
  for (const y of [0, 50, 100]) {
    const line = document.createElementNS(NS, "line");
    for (const [name, value] of Object.entries({ x1: 0, x2: 100, y1: y, y2: y })) line.setAttribute(name, value);
    svg.append(line);
  }
  const path = document.createElementNS(NS, "path");
  const points = survival.map((s, index) => `${(100 * index) / (survival.length - 1)} ${100 * (1 - s)}`);
  path.setAttribute("d", `M${points.join("L")}`);
  svg.append(path);
  return [
    make("h3", { text: t("curve") }),
    svg,
    make("div", { className: "axis" }, make("span", { text: t("today") }), make("span", { text: t("in_days")(survival.length - 1) })),
  ];
}
