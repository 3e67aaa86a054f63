// Sockets of pages, in headless Chromium: native ones, the browser build of openai-node, and the agents SDK.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import OpenAI from "openai";

import { startBrowser } from "./chromium.mjs";
import { CONVERSED, REALTIME_MODEL, TALKED } from "./sessions.mjs";
import { RELAY_TOKEN, SERVER_KEY, TLS, startPair } from "./support.mjs";

let plain, secure, browser, page, securePage, stranger;

before(async () => {
  browser = await startBrowser("socket-page.mjs");
  const listed = { ALLOWED_ORIGINS: `${browser.origin},${browser.secureOrigin}` };
  plain = await startPair(listed);
  secure = await startPair({ ...listed, ...TLS });
  page = await browser.open(browser.origin);
  securePage = await browser.open(browser.secureOrigin);
  stranger = await browser.open(browser.otherOrigin);
});
beforeEach(() => Promise.all([plain.reset(), secure.reset()]));
after(async () => {
  await browser?.close();
  [plain, secure].forEach((pair) => pair?.stop());
});

const QUERY = `?model=${REALTIME_MODEL}`;
const at = (pair, path = "/v1/realtime") => pair.socketURL.replace(/\/v1$/, path) + QUERY;
const inside = (where, name, ...given) =>
  where.evaluate(([name, given]) => window.sockets[name](...given), [name, given]);

/** An ephemeral credential of OpenAI's, as a back end mints it. */
async function mint(pair) {
  const client = new OpenAI({ baseURL: pair.baseURL, apiKey: RELAY_TOKEN });
  const session = { type: "realtime", model: REALTIME_MODEL };
  return (await client.realtime.clientSecrets.create({ session })).value;
}

test("a page's own WebSocket converses with the relay's token or an ephemeral one", async () => {
  const ephemeral = await mint(plain);
  for (const [token, reached] of [[RELAY_TOKEN, SERVER_KEY], [ephemeral, ephemeral]]) {
    for (const path of ["/v1/realtime", "/realtime", "/"]) {
      await plain.reset();
      const seen = await inside(page, "converse", at(plain, path), token, "openai-organization.org-1");
      const { conversed, ...rest } = seen;
      assert.deepEqual(conversed, CONVERSED);
      assert.deepEqual(rest, { protocol: "realtime", extensions: "", code: 1000, wasClean: true });
      const [{ request, subprotocols, received }] = await plain.sockets();
      const headers = Object.fromEntries(request.headers);
      assert.equal(headers.authorization, `Bearer ${reached}`);
      assert.deepEqual([headers.origin, headers.cookie], [undefined, undefined]);
      assert.deepEqual(subprotocols, ["realtime"]);
      assert.deepEqual(received.close, { code: 1000, reason: "done" });
    }
  }
  assert.ok(!plain.log.join("").includes(ephemeral) && !plain.log.join("").includes(RELAY_TOKEN));
});

test("pages with and without TLS converse over wss, beside their requests over HTTP/2", async () => {
  for (const where of [page, securePage]) {
    const cdp = await where.context().newCDPSession(where);
    await cdp.send("Network.enable");
    const answered = new Promise((resolve) => cdp.once("Network.responseReceived", resolve));
    await where.evaluate((url) => fetch(url), `${secure.origin}/health`);
    assert.equal((await answered).response.protocol, "h2");
    const seen = await inside(where, "converse", at(secure), RELAY_TOKEN);
    assert.deepEqual(seen.conversed, CONVERSED);
  }
});

test("openai-node in a page converses", async () => {
  for (const token of [RELAY_TOKEN, await mint(secure)]) {
    assert.deepEqual(await inside(securePage, "converseBySdk", secure.baseURL, token), CONVERSED);
  }
});

test("openai-node in a page hears why it was refused", async () => {
  const wrong = await inside(securePage, "refusalBySdk", secure.baseURL, "wrong");
  assert.deepEqual(wrong, { error: "invalid_api_key", code: 3000, reason: "invalid_request_error.invalid_api_key" });
  assert.deepEqual(await secure.received(), []);
  const missing = await inside(securePage, "refusalBySdk", secure.baseURL, RELAY_TOKEN, "gpt-realtime-0");
  const reason = "invalid_request_error.model_not_found";
  assert.deepEqual(missing, { error: "model_not_found", code: 4004, reason });
});

test("the agents SDK in a page calls its tool and speaks", async () => {
  assert.deepEqual(await inside(page, "talkToAgent", at(plain), RELAY_TOKEN), TALKED);
  assert.deepEqual(await inside(securePage, "talkToAgent", at(secure), await mint(secure)), TALKED);
  const [{ subprotocols }] = await plain.sockets();
  assert.deepEqual(subprotocols, ["realtime"]);
});

test("a page reads why its credential was refused, with the close code of its path", async () => {
  const key = "openai-insecure-api-key.wrong";
  for (const [path, code] of [["/v1/realtime", 3000], ["/realtime", 1008], ["/", 1008]]) {
    for (const list of [["realtime", key], [key, "realtime"], ["realtime"]]) {
      assert.deepEqual(await inside(page, "refusal", at(plain, path), ...list), {
        hasOpened: true,
        errors: [["error", "invalid_api_key"]],
        code,
        reason: "invalid_request_error.invalid_api_key",
        wasClean: true,
      });
    }
  }
  assert.deepEqual(await plain.received(), []);
});

test("a page reads why the upstream refused or failed", async () => {
  const list = ["realtime", `openai-insecure-api-key.${RELAY_TOKEN}`];
  for (const [script, error, code] of [
    ["status=429", "rate_limit_exceeded", 1008],
    ["status=401", "invalid_api_key", 3000],
    ["garbage", "upstream_broken", 1011],
    ["echo reset", "upstream_broken", 1011],
  ]) {
    await plain.push(script);
    const seen = await inside(page, "refusal", at(plain), ...list);
    assert.deepEqual([seen.hasOpened, seen.errors, seen.code], [true, [["error", error]], code], script);
  }
});

test("a page that is not on the list gets no socket, whatever it brings", async () => {
  const list = ["realtime", `openai-insecure-api-key.${RELAY_TOKEN}`];
  for (const pair of [plain, secure]) {
    const seen = await inside(stranger, "refusal", at(pair), ...list);
    assert.deepEqual(seen, { hasOpened: false, errors: [], code: 1006, reason: "", wasClean: false });
    assert.deepEqual(await pair.received(), []);
    assert.ok(pair.log.at(-1).includes("origin_not_allowed"));
  }
});

test("15 MiB of sound go up in one append, a minute comes down, and not a byte changes", async () => {
  for (const [where, pair] of [[page, plain], [securePage, secure]]) {
    await pair.push("speech=60000 fragment=5000 interleave");
    const seen = await inside(where, "exchangeSound", at(pair), RELAY_TOKEN, 15 * 1024 * 1024);
    const [{ received, sent, violation }] = await pair.sockets();
    assert.equal(violation, null);
    assert.deepEqual(seen, { sent: received.text, received: sent.text });
    assert.ok(sent.text.bytes > 60_000 * 48 && received.text.bytes > 20 * 1024 * 1024);
  }
});

test("a page gets compression where the operator allows it", async (t) => {
  const pair = await startPair({ ALLOWED_ORIGINS: browser.origin, WS_COMPRESSION: "true" });
  t.after(() => pair.stop());
  const seen = await inside(page, "converse", at(pair), RELAY_TOKEN);
  assert.deepEqual(seen.conversed, CONVERSED);
  assert.match(seen.extensions, /^permessage-deflate/);
  await pair.reset();
  const digests = await inside(page, "exchangeSound", at(pair), RELAY_TOKEN, 15 * 1024 * 1024);
  const [{ received, sent }] = await pair.sockets();
  assert.deepEqual(digests, { sent: received.text, received: sent.text });
});
