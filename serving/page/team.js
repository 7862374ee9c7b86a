// The store manager's view: who works, how it goes, where help is welcome, hand-overs.
import { button, empty, enumerated, language, make, money, named, number, percent, personName, shortDay, t } from "./dom.js";
import { SKIPS } from "./list.js";

export function drawTeam(team, handlers) {
  if (!team) return [empty(t("no_clerks"))];
  return [
    make("p", { className: "banner", text: t("team_hint") }),
    ...team.clerks.map((one) => member(one, handlers)),
    make("section", { className: "panel" }, make("h2", { text: t("handovers")(team.handovers.filter((one) => !one.accepted).length) }), ...handovers(team, handlers)),
  ];
}

function member(one, handlers) {
  const place = one.works_today ? t("works") : t("off");
  const presence = [place, one.absent.length && t("absent")(enumerated(one.absent.map(shortDay))), one.substitute && t("served_by")(handlers.nameOf(one.substitute))].filter(Boolean).join(" · ");
  const boxes = [
    [one.listed ? percent(one.sent / one.listed) : "–", t("adoption")],
    [one.contacts ? percent(one.answered / one.contacts) : "–", t("reply_rate")],
    [`${number(one.planned_minutes)}/${number(one.minutes_per_day ?? 0)}`, t("workload")],
  ];
  const against = one.margin != null && one.expected_margin ? `${money(Math.round(one.margin))} / ${money(Math.round(one.expected_margin))}` : "–";
  return make("section", { className: "panel", data: { clerk: one.clerk_id } },
    make("h2", { text: named(one.name) || one.clerk_id }),
    make("p", { className: "facts", text: presence }),
    make("div", { className: "numbers" }, boxes.map(([value, label]) => make("div", {}, make("b", { text: value }), make("span", { text: label })))),
    make("p", { className: "facts", text: `${t("against")}${language === "zh" ? "：" : ": "}${against}` }),
    make("h3", { text: t("coaching") }),
    make("ul", { className: "plain" }, (one.coaching.length ? one.coaching.map(advice) : [t("all_well")]).map((text) => make("li", { text }))));
}

function advice(one) {
  if (one.kind === "late_cases") return t("late_cases")(one.count);
  if (one.kind === "many_skips") return t("many_skips")(one.count, SKIPS.includes(one.reason) ? t(one.reason).toLowerCase() : one.reason ?? t("no_reason"));
  return t("low_adoption")(percent(one.share));
}

function handovers(team, handlers) {
  if (!team.handovers.length) return [make("p", { className: "facts", text: t("no_handovers") })];
  return [make("ul", { className: "people" }, team.handovers.map((one) => {
    const name = personName(one.person, one.customer_id);
    const words = t("from_to")(handlers.nameOf(one.from_clerk_id), handlers.nameOf(one.to_clerk_id));
    const row = [make("span", { className: "grow" }, make("b", { text: name }), make("small", { text: `${words} · ${t(`reason_${one.reason}`)}` }))];
    if (one.accepted) row.push(make("span", { className: "fine", text: t("accepted") }));
    else {
      const to = make("select", { ariaLabel: `${t("change_to")} ${name}` }, team.clerks.map((clerk) => make("option", { value: clerk.clerk_id, text: named(clerk.name) || clerk.clerk_id, selected: clerk.clerk_id === one.to_clerk_id })));
      row.push(to, button(t("accept"), () => handlers.accept(one, to.value), { className: "primary" }));
    }
    return make("li", { className: "handover" }, row);
  }))];
}
