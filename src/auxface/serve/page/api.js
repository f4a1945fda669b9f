// What the page asks of the server; every refusal becomes an Error with the server's own reason.

const KEY = "auxface-token";

export class NeedsToken extends Error {}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let reply;
  try {
    reply = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer.");
  }
  if (reply.status === 401) throw new NeedsToken("This server asks for a token.");
  if (!reply.ok) {
    const body = await reply.json().catch(() => ({}));
    throw new Error(body.reason || `The server refused (${reply.status}).`);
  }
  return reply;
}

function form(file) {
  const body = new FormData();
  body.append("file", file, "upload");
  return body;
}

export const model = async () => (await ask("/model")).json();
export const sample = async (number) => (await ask(`/samples/${number}`)).blob();
export const predict = async (file, signal) =>
  (await ask("/predict", { method: "POST", body: form(file), signal })).json();
export const explain = async (file, face, signal) =>
  (await ask(`/explain?face=${face}`, { method: "POST", body: form(file), signal })).json();
