// Feedback on its way: held for a moment so that it can be undone, kept on the device until the
// service has taken it. Each row carries its own id and the time it happened: whatever is sent
// twice counts once.
import * as api from "./api.js";
import { keep, kept } from "./store.js";

export const UNDO_SECONDS = 10;
let rows = [];
let sending;
export const events = { changed: () => {}, refused: () => {} };

export async function recall() {
  rows = ((await kept("queue")) ?? []).map((row) => ({ ...row, held: 0 }));
  events.changed();
}

// One after the other, so that what stands at last is what is kept.
let saved = Promise.resolve();
const save = () => { saved = saved.then(() => keep("queue", rows)).catch(() => {}); };
export const waiting = () => rows.filter((row) => row.kind !== "shown" && row.kind !== "opened");
export const closedHere = () => new Map(waiting().map((row) => [row.action_id ?? row.post.audience, row]));

function id() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Note feedback; with `undo` it waits ten seconds before it is sent.
export function add(entry, undo = false) {
  const row = { feedback_id: id(), ts: api.now().toISOString(), ...entry, held: undo ? Date.now() + UNDO_SECONDS * 1000 : 0 };
  rows.push(row);
  save();
  events.changed();
  setTimeout(flush, undo ? UNDO_SECONDS * 1000 + 50 : 0);
  return row.feedback_id;
}

export function undo(feedbackId) {
  const before = rows.length;
  rows = rows.filter((row) => row.feedback_id !== feedbackId);
  save();
  events.changed();
  return rows.length < before;
}

const bare = ({ held, ...row }) => row;

// Send what is due, one batch at a time. Without a network it stays.
export async function flush(everything = false) {
  if (sending) { await sending; }
  const due = rows.filter((row) => everything === true || row.held <= Date.now()).slice(0, 200);
  if (!due.length) return;
  sending = send(due, everything === true);
  await sending.finally(() => { sending = undefined; });
}

async function send(due, keepalive) {
  const posts = due.filter((row) => row.post);
  const actions = due.filter((row) => !row.post);
  for (const row of posts) await settle([row], () => api.sendPostFeedback(bare(row), keepalive));
  if (actions.length) await settle(actions, () => api.sendFeedback(actions.map(bare), keepalive));
}

async function settle(due, step) {
  try {
    const answer = await step();
    const gone = new Set(due.map((row) => row.feedback_id));
    rows = rows.filter((row) => !gone.has(row.feedback_id));
    save();
    events.changed();
    const refused = (answer.rows ?? []).filter((row) => row.status === "refused" && waitingKind(due[row.index]));
    if (refused.length) events.refused(refused[0].problem.detail);
  } catch (error) {
    if (error instanceof api.OfflineError) return;
    // What the service will never take does not block the rest; a missing key does.
    if (error.status >= 400 && error.status < 500 && error.status !== 401 && error.status !== 429) {
      rows = rows.filter((row) => !due.includes(row));
      save();
    }
    events.refused(error.message);
  }
}
const waitingKind = (row) => row.kind !== "shown" && row.kind !== "opened";
