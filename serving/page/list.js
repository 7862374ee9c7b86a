// Today's list: whom, why now, what to bring, what to say, and what became of it.
import { button, categoryName, clock, day, language, make, money, named, number, personName, picture, reasonsOf, settings, shortDay, t, webLink } from "./dom.js";

export const SKIPS = ["talked_already", "wrong_product", "out_of_stock", "bad_time", "other_reason"];
const SNOOZES = ["later_today", "tomorrow", "in_a_week"];

export function contactWindow(action) {
  if (!action.contact_from) return "";
  const date = !action.as_of || day(action.contact_from) === action.as_of ? "" : `${shortDay(action.contact_from)} `;
  return `${date}${clock(action.contact_from)}–${clock(action.contact_to) ?? ""}`;
}

// When an action that is put off comes back, in the store's own time.
export function snoozedUntil(choice, moment, offset) {
  if (choice === "later_today") return new Date(moment.getTime() + 3 * 3600e3).toISOString();
  const local = new Date(moment.getTime() + offsetMinutes(offset) * 60e3);
  local.setUTCDate(local.getUTCDate() + (choice === "tomorrow" ? 1 : 7));
  return `${local.toISOString().slice(0, 10)}T00:00:00${offset}`;
}
function offsetMinutes(offset) {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)/.exec(offset) ?? [null, "+", 0, 0];
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}
export const offsetOf = (moment) => /[+-]\d\d:\d\d$/.exec(moment ?? "")?.[0] ?? "+00:00";

export function product(one) {
  const facts = [
    one.price != null && money(one.price),
    one.on_hand != null && t("stock")(number(one.on_hand)),
    one.category && categoryName(one.category),
  ].filter(Boolean).join(" · ");
  const name = named(one.name) || one.product_id;
  return make("li", { className: "product" },
    picture(one.image, name, "thumb"),
    make("span", { className: "grow" }, make("b", { text: name }), make("small", { text: facts })),
    webLink(one.link, t("see"), "see"));
}

function brought(action) {
  const items = action.products.map(product);
  if (action.offer) {
    const when = action.offer.starts_at && `${shortDay(action.offer.starts_at)} ${clock(action.offer.starts_at)}`;
    items.push(make("li", { className: "product" },
      picture(null, named(action.offer.title), "thumb"),
      make("span", { className: "grow" }, make("b", { text: named(action.offer.title) }), when && make("small", { text: when })),
      webLink(action.offer.link, t("see"), "see")));
  }
  return items.length ? make("ul", { className: "bring", aria: { label: t("bring") } }, items) : null;
}

function why(action) {
  const [first, ...others] = reasonsOf(action, "reason");
  const cautions = reasonsOf(action, "caution");
  const rest = [...others, ...reasonsOf(action, "change")];
  return [
    first && make("p", { className: "why", text: first }),
    ...cautions.map((text) => make("p", { className: "caution", text })),
    rest.length ? make("details", { className: "rest" }, make("summary", { text: t("more_why") }),
      make("ul", {}, rest.map((text) => make("li", { text })))) : null,
  ];
}

// A button with a few choices under it; Escape and a click elsewhere close it.
export function menu(label, choices, choose, options = {}) {
  const list = make("div", { className: "choices", hidden: true, role: "group", ariaLabel: label });
  const opener = button(label, () => show(list.hidden), { aria: { expanded: "false", haspopup: "true" }, ...options });
  const wrap = make("div", { className: "menu" }, opener, list);
  const outside = (event) => { if (!wrap.contains(event.target)) show(false); };
  function show(open) {
    list.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    document[open ? "addEventListener" : "removeEventListener"]("pointerdown", outside);
    if (open) list.querySelector("button").focus();
  }
  list.append(...choices.map(([name, text]) => button(text, () => { show(false); choose(name); })));
  wrap.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) { event.stopPropagation(); show(false); opener.focus(); }
  });
  return wrap;
}

function buttons(action, handlers) {
  const link = action.person.chat_link;
  const label = action.channel === "phone" ? t("call") : link ? t("copy_open") : t("copy");
  const row = [button(label, () => handlers.copy(action.talking_point ?? "", link), { className: "primary copy" })];
  if (handlers.acts) {
    if (!handlers.stale) row.push(button(t("sent"), () => handlers.close(action, { kind: "sent" }), { className: "sent" }));
    row.push(menu(t("not_now"), SNOOZES.map((name) => [name, t(name)]),
      (choice) => handlers.close(action, { kind: "snoozed", until: handlers.until(choice) })));
    row.push(menu(t("skip"), [...SKIPS, "dismissed"].map((name) => [name, t(name)]),
      (choice) => handlers.close(action, choice === "dismissed" ? { kind: "dismissed" } : { kind: "skipped", reason: choice })));
  }
  return make("div", { className: "buttons" }, row);
}

export function actionItem(action, handlers) {
  const name = personName(action.person, action.customer_id);
  const facts = [contactWindow(action), action.channel && t(action.channel), action.minutes != null && t("minutes")(number(action.minutes, 1)),
    settings.show_value && action.value != null && t("worth")(money(action.value)), action.expired && t("expired")].filter(Boolean).join(" · ");
  const item = make("article", { className: `action${action.expired ? " expired" : ""}`, data: { mode: action.mode, action: action.action_id }, aria: { label: name } });
  item.append(
    make("div", { className: "head" },
      picture(action.person.avatar, name, "avatar"),
      make("div", { className: "grow" },
        button(name, () => handlers.open(action.customer_id, action, item), { className: "who" }),
        make("p", { className: "what" }, make("span", { className: "mode", text: t(action.mode) }), make("span", { text: action.action_name?.[language] ?? "" }))),
      make("p", { className: "facts", text: facts })),
    ...why(action).filter(Boolean));
  const bring = brought(action);
  if (bring) item.append(bring);
  if (action.talking_point) item.append(make("blockquote", { className: "say", aria: { label: t("say") }, text: action.talking_point }));
  item.append(buttons(action, handlers));
  return item;
}

function closedRow(row, handlers) {
  const state = [t(row.kind), row.reason && (SKIPS.includes(row.reason) ? t(row.reason) : row.reason), row.until && t("until")(`${shortDay(row.until)} ${clock(row.until)}`)].filter(Boolean).join(" · ");
  return make("li", {},
    button(personName(row.person, row.customer_id), () => handlers.open(row.customer_id), { className: "who" }),
    make("span", { className: "grow", text: row.action_name?.[language] ?? "" }),
    make("small", { text: row.waiting ? `${state} · ${t("not_uploaded")}` : state }));
}

// What stands open, in the order asked for, and what was dealt with, here and by the service.
export function split(list, closedHere) {
  const open = list.actions.filter((action) => !closedHere.has(action.action_id));
  const here = list.actions.filter((action) => closedHere.has(action.action_id))
    .map((action) => ({ ...action, ...closedHere.get(action.action_id), waiting: true }));
  const known = new Set(here.map((row) => row.action_id));
  return { open, closed: [...here.reverse(), ...list.closed.filter((row) => !known.has(row.action_id))] };
}

export function drawList(list, closedHere, handlers) {
  const { open, closed } = split(list, closedHere);
  const finished = closed.filter((row) => row.kind !== "snoozed").length;
  const minutes = Math.round(open.reduce((sum, action) => sum + (action.minutes ?? 0), 0));
  const all = open.length + closed.length;
  const parts = [];
  if (list.stale) parts.push(make("p", { className: "banner warn", role: "alert", text: t("stale")(list.as_of, list.age_days) }));
  if (list.kept) parts.push(make("p", { className: "banner", text: t("kept") }));
  if (!handlers.acts) parts.push(make("p", { className: "banner", text: t("colleague")(handlers.clerkName) }));
  parts.push(make("div", { className: "progress" },
    make("p", { text: t("progress")(finished, all, minutes) }),
    make("progress", { max: Math.max(all, 1), value: finished, ariaLabel: t("progress")(finished, all, minutes) }),
    make("div", { className: "switch", role: "group", ariaLabel: t("views") }, ["by_rank", "by_time"].map((name) =>
      button(t(name), () => handlers.sort(name), { aria: { pressed: String(handlers.order === name) } })))));
  let heading = "";
  const ordered = handlers.order === "by_time"
    ? [...open].sort((one, other) => (one.contact_from ?? "").localeCompare(other.contact_from ?? "") || one.rank - other.rank)
    : open;
  for (const action of ordered) {
    const window = contactWindow(action);
    if (handlers.order === "by_time" && window !== heading) {
      heading = window;
      parts.push(make("h2", { className: "window", text: window }));
    }
    parts.push(actionItem(action, { ...handlers, stale: list.stale }));
  }
  if (!open.length) parts.push(make("p", { className: "empty", text: closed.length ? t("all_done") : t("empty") }));
  if (list.next_cursor) parts.push(button(t("more"), handlers.more));
  if (closed.length) {
    parts.push(make("details", { className: "closed" }, make("summary", { text: t("done_today")(closed.length) }),
      make("ul", {}, closed.map((row) => closedRow(row, handlers)))));
  }
  return parts;
}
