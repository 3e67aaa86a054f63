// Pages of another origin, in headless Chromium, with fetch, the browser build of openai-node, and WebRTC.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import OpenAI from "openai";

import { startBrowser } from "./chromium.mjs";
import { ANSWER, RELAY_TOKEN, startPair } from "./support.mjs";

let pair, browser, page, stranger;

before(async () => {
  browser = await startBrowser("page.mjs");
  pair = await startPair({ ALLOWED_ORIGINS: browser.origin });
  page = await browser.open(browser.origin);
  stranger = await browser.open(browser.otherOrigin);
});
beforeEach(() => pair.reset());
after(async () => {
  await browser?.close();
  pair?.stop();
});

const inPage = (name, ...given) =>
  page.evaluate(([name, given]) => window.relay[name](...given), [name, given]);

test("fetch gets an answer and reads the exposed headers", async () => {
  const answer = await inPage("fetchChat", pair.baseURL, RELAY_TOKEN, false);
  assert.equal(answer.status, 200);
  assert.equal(JSON.parse(answer.text).choices[0].message.content, ANSWER);
  assert.match(answer.headers["x-request-id"], /^req_/);
  assert.equal(answer.headers["x-ratelimit-limit-requests"], "10000");
  assert.equal(answer.headers["x-ratelimit-reset-tokens"], "6m0s");
});

test("fetch gets a stream to its end", async () => {
  const answer = await inPage("fetchChat", pair.baseURL, RELAY_TOKEN, true);
  assert.ok(answer.text.endsWith("data: [DONE]\n\n"));
});

test("openai-node in a page chats and streams", async () => {
  assert.equal(await inPage("sdkChat", pair.baseURL, RELAY_TOKEN), ANSWER);
  const streamed = await inPage("sdkStream", pair.baseURL, RELAY_TOKEN);
  assert.deepEqual(streamed, { text: ANSWER, last: "response.completed" });
});

test("openai-node in a page retries a rate limit", async () => {
  const headers = { "X-Fake-Script": "status=429 retry-after-ms=10 times=2 key=page-retry" };
  assert.equal(await inPage("sdkChat", pair.baseURL, RELAY_TOKEN, { headers }), ANSWER);
});

test("refusals reach the page as the SDK's own errors", async () => {
  const wrong = await inPage("sdkError", pair.baseURL, "wrong");
  assert.deepEqual([wrong.status, wrong.code], [401, "invalid_api_key"]);
  assert.match(wrong.requestID, /^req_/);
  const missing = await inPage("sdkError", pair.baseURL, RELAY_TOKEN, { model: "gpt-0" });
  assert.deepEqual([missing.status, missing.code], [404, "model_not_found"]);
});

test("a page that is not on the list reads nothing, and the relay stays well", async () => {
  const failed = await stranger.evaluate(
    ([url, token]) => window.relay.fetchChat(url, token, false).then(() => "read", () => "blocked"),
    [pair.baseURL, RELAY_TOKEN],
  );
  assert.equal(failed, "blocked");
  assert.deepEqual(await pair.received(), []);
  assert.equal((await fetch(`${pair.origin}/health`)).status, 200);
});

test("a page's offer is answered with the server's key", async () => {
  const answer = await inPage("offer", pair.origin, RELAY_TOKEN, { model: "gpt-realtime-2.1" });
  assert.deepEqual([answer.status, answer.state, answer.relayed], [200, "stable", true]);
  assert.match(answer.callId, /^rtc_/);
  assert.ok(Number.isInteger(answer.duration));
});

test("a page's offer is answered with its own ephemeral token", async () => {
  const client = new OpenAI({ baseURL: pair.baseURL, apiKey: RELAY_TOKEN });
  const session = { type: "realtime", model: "gpt-realtime-2.1" };
  const { value } = await client.realtime.clientSecrets.create({ session });
  const answer = await inPage("offer", pair.origin, null, { token: value });
  assert.deepEqual([answer.status, answer.state], [200, "stable"]);
  const call = await inPage("call", pair.baseURL, value);
  assert.deepEqual([call.status, call.state], [201, "stable"]);
  assert.match(call.location, /^\/v1\/realtime\/calls\/rtc_/);
});

test("a broken offer is refused in words that a page can show", async () => {
  const answer = await inPage("brokenOffer", pair.origin, RELAY_TOKEN);
  assert.equal(answer.status, 400);
  assert.match(answer.json.message, /sdp/);
  assert.equal(answer.json.error.code, "invalid_offer");
});
