// Elements, words and numbers. Text is only ever set as text.
import { TEXTS } from "./texts.js";

// Small choices of the device; in a frame of another site a browser may refuse to keep any.
export const choices = {
  get(name) { try { return localStorage.getItem(name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(name, value); } catch { /* not kept */ } },
};

const LANGUAGE = "nba-language";
export let language = choices.get(LANGUAGE) ?? (navigator.language.startsWith("zh") ? "zh" : "en");
export function setLanguage(value) {
  language = value;
  choices.set(LANGUAGE, value);
}
export const t = (name) => TEXTS[language][name] ?? name;

export function make(tag, options = {}, ...children) {
  const { text, on, data, aria, ...rest } = options;
  const element = Object.assign(document.createElement(tag), rest);
  if (text !== undefined) element.textContent = text;
  for (const [event, handler] of Object.entries(on ?? {})) element.addEventListener(event, handler);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  Object.assign(element.dataset, data ?? {});
  element.append(...children.flat().filter((child) => child != null && child !== false && child !== ""));
  return element;
}
export const button = (text, click, options = {}) => make("button", { type: "button", text, on: { click }, ...options });

export const enumerated = (parts) => parts.join(language === "zh" ? "、" : ", ");
const locale = () => (language === "zh" ? "zh-CN" : "en-GB");
export const number = (value, digits = 0) => Number(value).toLocaleString(locale(), { maximumFractionDigits: digits });
export const percent = (value) => Number(value).toLocaleString(locale(), { style: "percent", maximumFractionDigits: 0 });
export const settings = { currency: "CNY", show_value: false };
export const money = (value) => Number(value).toLocaleString(locale(), {
  style: "currency", currency: settings.currency, currencyDisplay: "narrowSymbol", maximumFractionDigits: value % 1 ? 2 : 0,
});
// Times are shown as the shop's clock shows them: the offset is part of the answer.
export const clock = (moment) => moment?.slice(11, 16);
export const day = (moment) => moment?.slice(0, 10);
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export const shortDay = (moment) => {
  const [, month, date] = day(moment).split("-").map(Number);
  return language === "zh" ? `${month}月${date}日` : `${date} ${MONTHS[month - 1]}`;
};
// "2025-10" as the month is called; the year stands with the list.
export const monthName = (month) => new Date(`${month}-15T12:00:00Z`).toLocaleString(locale(), { month: "long", timeZone: "UTC" });

// A text of the shop may hold both languages: 中文 | English.
export function named(text) {
  const [zh, en] = (text ?? "").split(" | ");
  return language === "en" && en ? en : zh;
}
export const names = { categories: {}, tags: {}, actions: {} };
export const categoryName = (code) => names.categories[code]?.[language] ?? code ?? "";
export const tagName = (code) => (code === "note" ? t("note") : names.tags[code]?.[language] ?? inWords(named(code)));
// A tag of another system may be a code: likes_tea.
const inWords = (text) => (/^[a-z0-9]+(_[a-z0-9]+)+$/.test(text) ? text.replaceAll("_", " ") : text);
export const typeName = (code) => names.actions[code]?.[language] ?? code ?? "";
export const tagText = (tag) => {
  const value = tag.value_name ? named(tag.value_name) : tag.value && categoryName(tag.value);
  return value ? `${tagName(tag.tag)}：${value}`.replace("：", language === "zh" ? "：" : ": ") : tagName(tag.tag);
};

export function personName(person, id) {
  const { alias, name } = person ?? {};
  if (alias && name && !named(name).startsWith(named(alias))) return `${named(alias)} (${named(name)})`;
  return named(name ?? alias) || t("unnamed")(id);
}

// Pictures come from the shop's own servers; without one the first character stands for it.
export function picture(address, text, className) {
  if (/^(https:|data:image\/)/.test(address ?? "")) {
    return make("img", { src: address, alt: "", className, loading: "lazy", referrerPolicy: "no-referrer" });
  }
  return make("span", { className: `${className} letter`, text: [...(text || "·")][0], aria: { hidden: "true" } });
}
export function webLink(address, text, className = "") {
  if (!/^https?:\/\//.test(address ?? "")) return null;
  return make("a", { href: address, text, className, target: "_blank", rel: "noopener noreferrer" });
}
export const reasonsOf = (action, kind) => action.reasons.filter((one) => one.kind === kind).map((one) => one[language]);
export const empty = (text) => make("p", { className: "empty", text });
