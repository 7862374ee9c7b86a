// What the device keeps for a day without a network: encrypted where the browser can, and wiped
// at sign-out. The key of the cipher never leaves the browser's own store.
const NAME = "nba";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => { request.result.createObjectStore("kept"); };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

let database;
async function run(mode, step) {
  database ??= open();
  const store = (await database).transaction("kept", mode).objectStore("kept");
  return new Promise((resolve, reject) => {
    const request = step(store);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

let cipher;
async function makeCipher() {
  if (!globalThis.crypto?.subtle) return null;
  const known = await run("readonly", (store) => store.get("cipher"));
  if (known) return known;
  const made = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  await run("readwrite", (store) => store.put(made, "cipher"));
  return made;
}

// After a sign-out nothing is kept until the page is loaded anew, whatever was begun before.
let sealed = false;

export async function keep(name, value) {
  if (sealed) return undefined;
  cipher ??= makeCipher();
  const key = await cipher;
  const text = new TextEncoder().encode(JSON.stringify(value));
  if (sealed) return undefined;
  if (!key) return run("readwrite", (store) => store.put({ text }, name));
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const text_ = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, text);
  if (sealed) return undefined;
  return run("readwrite", (store) => store.put({ iv, text: text_ }, name));
}

export async function kept(name) {
  const found = await run("readonly", (store) => store.get(name));
  if (!found) return undefined;
  cipher ??= makeCipher();
  const text = found.iv
    ? await crypto.subtle.decrypt({ name: "AES-GCM", iv: found.iv }, await cipher, found.text)
    : found.text;
  return JSON.parse(new TextDecoder().decode(text));
}

// Forget yesterday's answers; the queue, the key and the language stay.
export async function forgetOld(prefixes) {
  const names = await run("readonly", (store) => store.getAllKeys());
  const old = names.filter((name) => prefixes.some((prefix) => name.startsWith(prefix)));
  await Promise.all(old.map((name) => run("readwrite", (store) => store.delete(name))));
}

export async function wipe() {
  sealed = true;
  await cipher?.catch(() => {});
  cipher = undefined;
  await run("readwrite", (store) => store.clear());
}
