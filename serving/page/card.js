// Everything about one customer: who, what is open, what comes next, what was.
import { button, categoryName, clock, day, enumerated, language, make, money, named, number, percent, personName, picture, reasonsOf, settings, shortDay, t, tagName, tagText, typeName, webLink } from "./dom.js";
import { product } from "./list.js";

export function customerCard(card, next, handlers) {
  const name = personName(card.person, card.customer_id);
  return [
    make("div", { className: "card-head" },
      picture(card.person.avatar, name, "avatar"),
      make("div", { className: "grow" }, make("h2", { id: "card-title", text: name }), make("p", { className: "facts", text: about(card) })),
      button("×", handlers.close, { className: "close", aria: { label: t("close") } })),
    chatLink(card),
    ...consent(card.state),
    ...section("news", card.news.filter((item) => !SEEN.includes(item.kind)), (item) => [clock(item.ts), newsText(item)], { quietly: true }),
    ...section("matters", card.matters, matter, { quietly: true }),
    ...actionsNow(next, handlers),
    ...section("next_need", card.needs.filter((one) => categoryName(one.category)), (one) => [categoryName(one.category), one.due_on ? t("around")(shortDay(one.due_on)) : ""], { quietly: true }),
    heading("tags"),
    tags(card, handlers),
    ...notes(card, handlers),
    ...section("purchases", card.purchases.slice(0, 8), (one) => [
      shortDay(one.ts), named(one.name) || one.product_id,
      one.quantity < 0 ? t("returned") : `× ${number(one.quantity, 2)}`, one.amount == null ? "" : money(one.amount)]),
    ...section("contacts", card.contacts.slice(0, 8), (one) => [
      shortDay(one.ts), typeName(one.action_type) || t(one.mode), one.responses.length ? enumerated([...new Set(one.responses)].map(t)) : t("no_answer")]),
    ...timing(card.timing),
    ...affinity(card.affinity),
  ].filter(Boolean);
}

// That something was looked at is no news to whoever looks.
const SEEN = ["shown", "opened"];
const heading = (name) => make("h3", { text: t(name) });
const about = (card) => [
  card.person.phone_tail && t("tail")(card.person.phone_tail),
  card.state.birthday && t("birthday")(card.state.birthday.slice(-5)),
  card.state.friend_since && t("friend_since")(day(card.state.friend_since)),
].filter(Boolean).join(" · ");

function chatLink(card) {
  const link = card.person.chat_link;
  const may = link && !card.state.is_blocked && card.state.consent_contact;
  return may ? make("p", {}, make("a", { className: "button primary", href: link, text: t("open_chat") })) : null;
}

function consent(state) {
  const flags = [state.is_blocked && "blocked", !state.is_friend && "not_friend", !state.consent_contact && "no_contact", !state.consent_profiling && "no_profiling"].filter(Boolean);
  if (!flags.length) return [make("p", { className: "fine", text: t("consent_ok") })];
  return flags.map((name) => make("p", { className: "flag", text: t(name) }));
}

function matter(one) {
  const value = one.amount ? (one.kind === "coupon" ? money(one.amount) : number(one.amount)) : "";
  const when = one.opened_at ? t("since")(shortDay(one.opened_at)) : one.expires_at ? t("ends")(shortDay(one.expires_at)) : "";
  return [`${t(one.kind)} ${value}`.trim(), when];
}

function newsText(item) {
  const table = item.table === "tags" ? t("tag_change") : t(item.table);
  if (!item.kind) return table;
  return `${table}${language === "zh" ? "：" : ": "}${item.table === "tags" ? tagName(item.kind) : t(item.kind)}`;
}

function actionsNow(next, handlers) {
  if (!next) return [];
  const rows = next.actions.slice(0, 3).map((action) => make("li", {},
    make("p", {}, make("b", { text: action.action_name?.[language] ?? "" }), " ", make("span", { className: "mode", text: t(action.mode), data: { mode: action.mode } }),
      action.rank != null ? make("small", { text: ` ${t("on_list")}` }) : ""),
    ...reasonsOf(action, "reason").slice(0, 1).map((text) => make("p", { className: "why", text })),
    action.products.length ? make("ul", { className: "bring" }, action.products.map(product)) : null,
    action.talking_point ? make("blockquote", { className: "say", text: action.talking_point }) : null,
    action.talking_point ? button(t("copy"), () => handlers.copy(action.talking_point)) : null));
  return [heading("actions_now"), rows.length ? make("ul", { className: "now" }, rows) : make("p", { className: "facts", text: t("no_action") })];
}

function tags(card, handlers) {
  const input = make("input", { placeholder: t("new_tag"), maxLength: 60, ariaLabel: t("new_tag") });
  const chips = card.tags.filter((tag) => tag.tag !== "note").map((tag) => make("span", { className: "tag" }, make("span", { text: tagText(tag) }),
    handlers.acts && tag.source === "clerk" ? button("×", () => handlers.removeTag(tag.tag), { aria: { label: `${t("remove")} ${tagText(tag)}` } }) : ""));
  const form = make("form", { className: "add", on: { submit: (event) => { event.preventDefault(); if (input.value.trim()) handlers.addTag(input.value.trim()); } } },
    input, make("button", { text: t("add") }));
  return make("div", {}, chips.length ? make("div", { className: "tags" }, chips) : make("p", { className: "facts", text: t("nothing") }), handlers.acts ? form : "");
}

function notes(card, handlers) {
  const note = card.tags.find((tag) => tag.tag === "note")?.value ?? "";
  if (!handlers.acts) return note ? [heading("note"), make("p", { text: note })] : [];
  const input = make("textarea", { value: note, placeholder: t("new_note"), rows: 2, maxLength: 500, ariaLabel: t("note") });
  const form = make("form", { className: "add", on: { submit: (event) => { event.preventDefault(); handlers.saveNote(input.value.trim()); } } },
    input, make("button", { text: t("save") }));
  return [heading("note"), form];
}

function section(name, items, cells, { quietly = false } = {}) {
  if (!items.length) return quietly ? [] : [heading(name), make("p", { className: "facts", text: t("nothing") })];
  const isNumber = (cell) => /\d$|^[¥$€£×]/.test(cell) && !/[月日]|–/.test(cell) && /^[×\s¥$€£\d.,-]+$/.test(cell);
  return [heading(name), make("table", {}, make("tbody", {}, items.map((item) => make("tr", {}, cells(item).map((cell) =>
    make("td", { text: cell, className: isNumber(cell) ? "number" : "" }))))))];
}

function affinity(products) {
  if (!products.length) return [];
  return [heading("affinity"), make("ul", { className: "bring" }, products.slice(0, 5).map(product))];
}

function timing(scores) {
  if (!scores) return [];
  const boxes = [[7, scores.p_purchase_7d], [14, scores.p_purchase_14d], [30, scores.p_purchase_30d]].filter(([, p]) => p != null);
  return [
    heading("timing"),
    make("div", { className: "numbers" }, boxes.map(([days, p]) => make("div", {}, make("b", { text: percent(p) }), make("span", { text: t("within")(days) })))),
    ...curve(scores.survival),
  ];
}

function curve(survival) {
  if (survival.length < 2) return [];
  const NS = "http://www.w3.org/2000/svg";
  const draw = (tag, attributes) => {
    const element = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const svg = draw("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", class: "curve", role: "img", "aria-label": t("curve") });
  for (const y of [0, 50, 100]) svg.append(draw("line", { x1: 0, x2: 100, y1: y, y2: y }));
  const points = survival.map((s, index) => `${(100 * index) / (survival.length - 1)} ${100 * s}`);
  svg.append(draw("path", { d: `M${points.join("L")}` }));
  return [svg, make("div", { className: "axis" }, make("span", { text: t("today") }), make("span", { text: t("curve") }), make("span", { text: t("in_days")(survival.length - 1) }))];
}
