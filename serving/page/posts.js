// What to post today to groups and moments: entries of their own, marked done or skipped.
import { button, clock, empty, make, named, number, picture, shortDay, t, webLink } from "./dom.js";
import { SKIPS, contactWindow, menu } from "./list.js";

export function drawPosts(answer, closedHere, handlers) {
  if (!answer.posts.length) return [empty(t("no_posts"))];
  return answer.posts.map((post) => {
    const here = closedHere.get(post.audience);
    return entry(post, here?.kind ?? post.status, handlers);
  });
}

function entry(post, status, handlers) {
  const name = post.topic ? t("to_group")(named(post.topic)) : t("to_moments");
  const title = named(post.offer?.title);
  const parts = [
    make("h2", { text: name }),
    make("p", { className: "what" }, make("span", { className: "mode", text: t(post.mode), data: { mode: post.mode } }),
      make("span", { className: "facts", text: [contactWindow(post), t("reach")(number(post.members)), t("minutes")(number(post.minutes))].filter(Boolean).join(" · ") })),
  ];
  if (title) {
    const when = post.offer.starts_at && `${shortDay(post.offer.starts_at)} ${clock(post.offer.starts_at)}`;
    parts.push(make("div", { className: "product" }, picture(null, title, "thumb"),
      make("span", { className: "grow" }, make("b", { text: title }), when && make("small", { text: when })), webLink(post.offer.link, t("see"), "see")));
  }
  if (status !== "new") parts.push(make("p", { className: "fine", text: status === "sent" ? t("posted") : t("skipped") }));
  else {
    const text = [title, post.offer?.link].filter(Boolean).join(" ");
    const row = [button(t("copy"), () => handlers.copy(text), { className: "copy" })];
    if (handlers.acts) {
      row.push(button(t("posted"), () => handlers.close(post, { kind: "sent" }), { className: "primary sent" }));
      row.push(menu(t("skip"), SKIPS.filter((one) => one !== "talked_already").map((one) => [one, t(one)]), (choice) => handlers.close(post, { kind: "skipped", reason: choice })));
    }
    parts.push(make("div", { className: "buttons" }, row));
  }
  return make("article", { className: "panel", data: { post: post.audience }, aria: { label: name } }, parts);
}
