// The public API, and nothing but it. Answers are kept on the device for when there is no network.
import { keep, kept } from "./store.js";

let key = "";
export const hasKey = () => key !== "";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `HTTP ${status}`);
    this.status = status;
  }
}
export class OfflineError extends Error {}

export async function rememberKey(value) {
  key = value;
  await keep("key", value);
}
// A sidebar's token counts for this frame alone, and is kept nowhere.
let keeps = true;
export function useToken(value) {
  key = value;
  keeps = false;
}
export async function recallKey() {
  key = (await kept("key")) ?? "";
}
export function forgetKey() { key = ""; }

async function call(method, path, body, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method, headers, body: body && JSON.stringify(body), keepalive: options.keepalive, cache: "no-store",
    });
  } catch (error) {
    throw new OfflineError(error.message);
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, answer);
  return answer;
}

export const network = { online: true, changed: () => {} };
function setOnline(online) {
  if (network.online === online) return;
  network.online = online;
  network.changed();
}

// Ask; without a network answer from what the device kept, marked as kept.
async function ask(path) {
  const asked = key;
  try {
    const answer = await call("GET", path);
    setOnline(true);
    if (keeps && asked === key) keep(`answer ${path}`, answer).catch(() => {});
    return answer;
  } catch (error) {
    if (!(error instanceof OfflineError)) throw error;
    setOnline(false);
    const known = await kept(`answer ${path}`);
    if (known === undefined) throw error;
    return { ...known, kept: true };
  }
}

const part = encodeURIComponent;

// Moments are told by the service's clock, whatever this machine's says; the difference is kept.
let ahead = 0;
export async function recallClock() {
  ahead = (await kept("ahead")) ?? 0;
}
export const now = () => new Date(Date.now() + ahead);

export const clerks = () => ask("v1/clerks");
export const names = () => ask("v1/names");

export async function actions(clerk, cursor) {
  const query = new URLSearchParams({ limit: "50" });
  if (cursor) query.set("cursor", cursor);
  const page = await ask(`v1/clerks/${part(clerk)}/actions?${query}`);
  if (!page.kept) {
    ahead = Date.parse(page.now) - Date.now();
    keep("ahead", ahead).catch(() => {});
  }
  return page;
}

export const card = (customer) => ask(`v1/customers/${part(customer)}`);
export const externalId = (id) => ask(`v1/external-ids/${part(id)}`);
export const nextActions = (customer) => ask(`v1/customers/${part(customer)}/actions`);
export const search = (clerk, text) =>
  ask(`v1/clerks/${part(clerk)}/customers?${new URLSearchParams({ q: text, limit: "30" })}`);

export const posts = (clerk) => ask(`v1/clerks/${part(clerk)}/posts`);
export const results = (clerk) => ask(`v1/clerks/${part(clerk)}/results`);
export const team = (store) => ask(`v1/stores/${part(store)}/team`);
export const handOver = (customer, clerk) => call("PUT", `v1/handovers/${part(customer)}`, { to_clerk_id: clerk });

export async function sendPostFeedback({ post, ...body }, keepalive = false) {
  try {
    return await call("POST", `v1/clerks/${part(post.clerk)}/posts/${part(post.audience)}/feedback`, body, { keepalive });
  } catch (error) {
    if (error instanceof OfflineError) setOnline(false);
    throw error;
  }
}

export async function sendFeedback(rows, keepalive = false) {
  try {
    const answer = await call("POST", "v1/feedback", { feedback: rows }, { keepalive });
    setOnline(true);
    return answer;
  } catch (error) {
    if (error instanceof OfflineError) setOnline(false);
    throw error;
  }
}

export const putTag = (customer, tag, value) =>
  call("PUT", `v1/customers/${part(customer)}/tags/${part(tag)}`, value ? { value } : {});
export const deleteTag = (customer, tag) =>
  call("DELETE", `v1/customers/${part(customer)}/tags/${part(tag)}`);
