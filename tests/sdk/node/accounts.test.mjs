// Accounts: an access token in place of a key, in openai-node and in the agents SDK, from Node and from a page; and the
// page that describes the API.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, beforeEach, test } from "node:test";

import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

import { startBrowser } from "./chromium.mjs";
import { CONVERSED, Inbox, REALTIME_MODEL, TALKED, converse, talkToAgent } from "./sessions.mjs";
import { ANSWER, HELLO, MODEL, SERVER_KEY, TLS, startPair } from "./support.mjs";

const PASSWORD = "correct horse battery";
const QUERY = `?model=${REALTIME_MODEL}`;

let plain, secure, browser, page;

before(async () => {
  browser = await startBrowser("socket-page.mjs");
  const variables = {
    DATABASE_TIMEOUT: "60",
    SECRET_KEY: "secret-key-for-the-sdk-tests-9876543210",
    ALLOWED_ORIGINS: `${browser.origin},${browser.secureOrigin}`,
  };
  plain = await startPair(variables);
  secure = await startPair({ ...variables, ...TLS });
  page = await browser.open(browser.origin);
  for (const pair of [plain, secure]) {
    const user = { username: "alice", email: "alice@example.com", password: PASSWORD };
    assert.equal((await call(pair, "register", user)).status, 201);
  }
});
beforeEach(() => Promise.all([plain.reset(), secure.reset()]));
after(async () => {
  await browser?.close();
  [plain, secure].forEach((pair) => pair?.stop());
});

const call = (pair, path, body, headers = {}) =>
  fetch(`${pair.origin}/api/v1/auth/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

/** An access token. */
async function logIn(pair) {
  const answer = await call(pair, "login", { username: "alice", password: PASSWORD });
  assert.equal(answer.status, 200);
  return (await answer.json()).access_token;
}

test("an access token is openai-node's key, plain and streamed", async () => {
  const apiKey = await logIn(plain);
  const client = new OpenAI({ baseURL: plain.baseURL, apiKey });
  const done = await client.chat.completions.create({ model: MODEL, messages: HELLO });
  assert.equal(done.choices[0].message.content, ANSWER);
  let text = "";
  for await (const event of await client.responses.create({ model: MODEL, input: "Hello there", stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, ANSWER);
  for (const { headers } of await plain.received()) {
    assert.equal(Object.fromEntries(headers).authorization, `Bearer ${SERVER_KEY}`);
  }
  assert.ok(!plain.log.join("").includes(apiKey));
});

test("an access token that is not good any more is openai-node's AuthenticationError", async () => {
  const apiKey = await logIn(plain);
  await call(plain, "logout", {}, { Authorization: `Bearer ${apiKey}` });
  const client = new OpenAI({ baseURL: plain.baseURL, apiKey, maxRetries: 0 });
  await assert.rejects(client.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    return error.code === "invalid_api_key";
  });
});

test("an access token opens a Realtime session of openai-node's", async () => {
  const client = new OpenAI({ baseURL: secure.baseURL, apiKey: await logIn(secure) });
  const rt = new OpenAIRealtimeWS({ model: REALTIME_MODEL }, client);
  const inbox = new Inbox();
  rt.on("event", (event) => inbox.put(event));
  rt.on("error", () => {});
  await once(rt.socket, "open");
  assert.deepEqual(await converse((event) => rt.send(event), inbox), CONVERSED);
  rt.close();
});

test("the agents SDK talks with one, from Node and from a page", async () => {
  const url = `${plain.socketURL}/realtime${QUERY}`;
  const token = await logIn(plain);
  assert.deepEqual(await talkToAgent(url, token), TALKED);
  const inPage = page.evaluate(([url, token]) => window.sockets.talkToAgent(url, token), [url, token]);
  assert.deepEqual(await inPage, TALKED);
});

test("a page registers, logs in and chats with fetch", async () => {
  const seen = await page.evaluate(async (origin) => {
    const post = async (path, body, headers = {}) => {
      const answer = await fetch(`${origin}/api/v1/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...headers },
        body: JSON.stringify(body),
      });
      return { status: answer.status, text: await answer.text() };
    };
    const user = { username: "page", email: "page@example.com", password: "a good password" };
    const registered = await post("auth/register", user);
    const form = new URLSearchParams({ grant_type: "password", username: "page", password: "a good password" });
    const login = await (await fetch(`${origin}/api/v1/auth/login`, { method: "POST", body: form })).json();
    const authorization = { Authorization: `Bearer ${login.access_token}` };
    const messages = [{ role: "user", content: "Hello there" }];
    const whole = await post("chat/completions", { messages }, authorization);
    const stream = await post("chat/completions/stream", { messages }, authorization);
    const wrong = await post("auth/login", { username: "page", password: "wrong" });
    return { registered: registered.status, whole, stream, wrong };
  }, plain.origin);
  assert.equal(seen.registered, 201);
  assert.equal(JSON.parse(seen.whole.text).choices[0].message.content, ANSWER);
  assert.ok(seen.stream.text.endsWith("data: [DONE]\n\n"));
  assert.equal(seen.wrong.status, 401);
  assert.equal(typeof JSON.parse(seen.wrong.text).detail, "string");
});

test("the page of the API shows every route, and asks nobody else for anything", async () => {
  const asked = [];
  const complaints = [];
  const docs = await browser.open("about:blank");
  docs.on("request", (request) => asked.push(request.url()));
  docs.on("console", (message) => complaints.push(message.text()));
  docs.on("pageerror", (error) => complaints.push(error.message));
  await docs.goto(`${plain.origin}/docs`);
  await docs.waitForSelector("details");
  const api = await (await fetch(`${plain.origin}/openapi.json`)).json();
  const routes = Object.entries(api.paths).flatMap(([path, item]) => Object.keys(item).map((method) => `${method}-${path}`));
  const shown = await docs.$$eval("details", (all) => all.map(({ id }) => id));
  assert.deepEqual(shown.toSorted(), routes.toSorted());
  await docs.$$eval("details", (all) => all.forEach((one) => (one.open = true)));
  const text = await docs.textContent("main");
  for (const words of ["/api/v1/auth/login", "refresh_token", "Authorization: Bearer", "Not an admin"]) {
    assert.ok(text.includes(words), words);
  }
  assert.deepEqual(complaints, []);
  for (const url of asked) assert.ok(url.startsWith(`${plain.origin}/`), url);
});
