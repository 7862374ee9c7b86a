// A clerk's own month: counts, and what contacts brought, never without its interval.
import { make, money, monthName, number, percent, t } from "./dom.js";

export function drawResults(results) {
  const boxes = [
    [number(results.listed), t("listed_n")], [number(results.sent), t("sent_n")], [number(results.skipped), t("skipped_n")],
    [number(results.answered), t("replies_n")], [results.contacts ? percent(results.answered / results.contacts) : "–", t("reply_rate")], [number(results.cases_closed), t("cases_n")],
  ];
  return [
    make("section", { className: "panel" }, make("h2", { text: monthName(results.month) }),
      make("div", { className: "numbers wide" }, boxes.map(([value, label]) => make("div", {}, make("b", { text: value }), make("span", { text: label }))))),
    make("section", { className: "panel" }, make("h2", { text: t("extra") }), ...extra(results.increment)),
  ];
}

function extra(increment) {
  if (!increment) return [make("p", { className: "facts", text: t("extra_unknown") })];
  const value = t("extra_value")(money(Math.round(increment.amount)), money(Math.round(increment.low)), money(Math.round(increment.high)));
  return [make("p", { className: "amount", text: value }), increment.low <= 0 && increment.high >= 0 ? make("p", { className: "facts", text: t("extra_unclear") }) : ""];
}
