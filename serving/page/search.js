// One's own customers by name, alias, end of the phone number or tag.
import { button, empty, make, personName, picture, t, tagName } from "./dom.js";

export function drawSearch(found, text, handlers) {
  const input = make("input", { id: "find", type: "search", value: text, placeholder: t("find"), ariaLabel: t("find"), autocomplete: "off", enterKeyHint: "search" });
  let timer;
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => handlers.find(input.value), 250); });
  const form = make("form", { className: "find", role: "search", on: { submit: (event) => { event.preventDefault(); clearTimeout(timer); handlers.find(input.value); } } }, input);
  return [form, make("div", { id: "found", aria: { live: "polite" } }, results(found, handlers))];
}

export function results(found, handlers) {
  if (!found) return [empty(t("search_hint"))];
  if (!found.customers.length) return [empty(t("found_none"))];
  return [make("p", { className: "facts", text: t("found")(found.total) }), make("ul", { className: "people" }, found.customers.map((one) => person(one, handlers)))];
}

function person(one, handlers) {
  const name = personName(one.person, one.customer_id);
  const notes = [one.person.phone_tail && t("tail")(one.person.phone_tail), one.action_id && t("on_list"), one.is_blocked ? t("blocked") : !one.is_friend && t("not_friend")].filter(Boolean).join(" · ");
  return make("li", {}, row(one, name, notes, handlers));
}

function row(one, name, notes, handlers) {
  const element = button("", () => handlers.open(one.customer_id), { className: "person" });
  element.append(picture(one.person.avatar, name, "avatar"),
    make("span", { className: "grow" }, make("b", { text: name }), make("small", { text: notes })),
    make("span", { className: "tags" }, one.tags.filter((tag) => tag !== "note").slice(0, 2).map((tag) => make("span", { className: "tag", text: tagName(tag) }))));
  return element;
}
