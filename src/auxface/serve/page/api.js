// Requests to the server. If the server rejects a request, an Error with the server's reason is thrown.

const KEY = "auxface-token";

export class TokenRequired extends Error {}

export function storeToken(token) {
  sessionStorage.setItem(KEY, token);
}

export const model = async () => (await request("/model")).json();
export const sample = async (number) => (await request(`/samples/${number}`)).blob();
export const predict = async (file, signal) =>
  (await request("/predict", { method: "POST", body: form(file), signal })).json();
export const explain = async (file, face, signal) =>
  (await request(`/explain?face=${face}`, { method: "POST", body: form(file), signal })).json();

async function request(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server is not responding.");
  }
  if (response.status === 401) throw new TokenRequired("This server requires a token.");
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.reason || `The server rejected the request (${response.status}).`);
  }
  return response;
}

function form(file) {
  const body = new FormData();
  body.append("file", file, "upload");
  return body;
}
