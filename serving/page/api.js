// The public API, and nothing but it.
const KEY = "nba-key";
let key = sessionStorage.getItem(KEY) ?? "";

export class ApiError extends Error {
  constructor(problem) {
    super(problem.detail);
    this.status = problem.status;
  }
}

export function setKey(value) {
  key = value;
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

export const hasKey = () => key !== "";

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) throw new ApiError(answer);
  return answer;
}

const part = encodeURIComponent;

export const clerks = () => call("GET", "v1/clerks");

// Moments are told by the service's clock, whatever this machine's says.
let ahead = 0;

export async function actions(clerk, mode, cursor) {
  const query = new URLSearchParams({ limit: "20" });
  if (mode) query.set("mode", mode);
  if (cursor) query.set("cursor", cursor);
  const page = await call("GET", `v1/clerks/${part(clerk)}/actions?${query}`);
  ahead = Date.parse(page.now) - Date.now();
  return page;
}

export const card = (customer) => call("GET", `v1/customers/${part(customer)}`);

export function feedback(entries) {
  const ts = new Date(Date.now() + ahead).toISOString();
  const rows = entries.map((entry) => ({ feedback_id: crypto.randomUUID(), ts, ...entry }));
  return call("POST", "v1/feedback", { feedback: rows });
}

export const putTag = (customer, tag) =>
  call("PUT", `v1/customers/${part(customer)}/tags/${part(tag)}`, {});
export const deleteTag = (customer, tag) =>
  call("DELETE", `v1/customers/${part(customer)}/tags/${part(tag)}`);
