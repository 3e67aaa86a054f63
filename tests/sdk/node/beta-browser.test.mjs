// Pages of 2025, in headless Chromium: they ask for the beta in a subprotocol, and bring their token in another.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import OpenAI from "openai-beta";

import { CONVERSED, CUT, INTERRUPTED, PREVIEW, SUCCESSOR, TALKED } from "./beta-sessions.mjs";
import { startBrowser } from "./chromium.mjs";
import { RELAY_TOKEN, SERVER_KEY, TLS, startPair } from "./support.mjs";

let plain, secure, browser, page, securePage;

before(async () => {
  browser = await startBrowser("beta-page.mjs");
  const listed = { ALLOWED_ORIGINS: `${browser.origin},${browser.secureOrigin}` };
  plain = await startPair(listed);
  secure = await startPair({ ...listed, ...TLS });
  page = await browser.open(browser.origin);
  securePage = await browser.open(browser.secureOrigin);
});
beforeEach(() => Promise.all([plain.reset(), secure.reset()]));
after(async () => {
  await browser?.close();
  [plain, secure].forEach((pair) => pair?.stop());
});

const inside = (where, name, ...given) =>
  where.evaluate(([name, given]) => window.beta[name](...given), [name, given]);
const root = (pair) => pair.socketURL.replace(/\/v1$/, "");

/** A page's token, as its back end mints it: in the beta's shape. */
async function mint(pair) {
  const client = new OpenAI({ baseURL: pair.baseURL, apiKey: RELAY_TOKEN });
  const minted = await client.beta.realtime.sessions.create({ model: PREVIEW, voice: "alloy" });
  return minted.client_secret.value;
}

/** What reached the upstream: GA, with this key. */
async function checkUpstream(pair, key) {
  const [{ request, subprotocols }] = await pair.sockets();
  const headers = Object.fromEntries(request.headers);
  assert.equal(request.target, `/v1/realtime?model=${SUCCESSOR}`);
  assert.deepEqual([headers.authorization, headers["openai-beta"]], [`Bearer ${key}`, undefined]);
  assert.ok(!subprotocols.includes("openai-beta.realtime-v1"));
}

test("a page's own WebSocket converses in the beta's words, with a minted key or the relay's token", async () => {
  for (const [where, pair] of [[page, plain], [securePage, secure]]) {
    const minted = await mint(pair);
    for (const [token, key] of [[minted, minted], [RELAY_TOKEN, SERVER_KEY]]) {
      await pair.reset();
      const seen = await inside(where, "converse", root(pair), token);
      assert.deepEqual(seen, { conversed: CONVERSED, protocol: "realtime" });
      await checkUpstream(pair, key);
    }
    assert.ok(!pair.log.join("").includes(minted));
  }
});

test("a page's own WebSocket interrupts", async () => {
  const token = await mint(plain);
  await plain.push("speech=600000");
  assert.deepEqual(await inside(page, "interrupt", root(plain), token), INTERRUPTED);
});

test("openai-node of 2025 in a page converses in the beta's words", async () => {
  const token = await mint(secure);
  assert.deepEqual(await inside(securePage, "converseBySdk", secure.baseURL, token), CONVERSED);
  await checkUpstream(secure, token);
});

test("the reference client in a page puts a conversation together and runs its tool", async () => {
  const url = `${root(plain)}/realtime`;
  assert.deepEqual(await inside(page, "talkByReference", url, RELAY_TOKEN), TALKED);
  await checkUpstream(plain, SERVER_KEY);
});

test("the reference client in a page interrupts", async () => {
  await plain.push("speech=600000");
  assert.deepEqual(await inside(page, "interruptByReference", `${root(plain)}/realtime`, RELAY_TOKEN), CUT);
});
