// Relay keys and sealed tokens in place of an OpenAI key: openai-node on every family, the agents SDK in Node, and in a
// page that mints through the relay.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

import { startBrowser } from "./chromium.mjs";
import { CONVERSED, Inbox, REALTIME_MODEL, TALKED, converse, talkToAgent } from "./sessions.mjs";
import { ANSWER, BINARIES, HELLO, MODEL, SERVER_KEY, TLS, startPair } from "./support.mjs";

const QUERY = `?model=${REALTIME_MODEL}`;

let pair, secure, browser, page, key, narrow, variables;

/** A key that the command line makes. */
function makeKey(...words) {
  const made = execFileSync(join(BINARIES, "openai-relay"), ["key", "create", "sdk", "--json", ...words], { env: variables });
  return JSON.parse(made).key;
}

before(async () => {
  browser = await startBrowser("socket-page.mjs");
  const folder = mkdtempSync(join(tmpdir(), "openai-relay-keys-"));
  variables = { DATABASE_TIMEOUT: "60", DATABASE_URL: `sqlite:///${folder}/keys.db` };
  pair = await startPair({ ...variables, ALLOWED_ORIGINS: browser.origin });
  // openai-node speaks wss alone. The two share nothing but the database and what tokens are sealed with.
  secure = await startPair({ ...variables, ...TLS });
  page = await browser.open(browser.origin);
  key = makeKey();
  narrow = makeKey("--families", "chat,realtime", "--models", `${MODEL},gpt-realtime-*,whisper-1,gpt-4o-*`);
});
beforeEach(() => Promise.all([pair.reset(), secure.reset()]));
after(async () => {
  await browser?.close();
  [pair, secure].forEach((one) => one?.stop());
});

const clientOf = (apiKey, more = {}) => new OpenAI({ baseURL: pair.baseURL, apiKey, maxRetries: 0, ...more });

async function sealed(apiKey, wish = {}) {
  const answer = await fetch(`${pair.origin}/api/v1/tokens`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).value;
}

/** What the stand-in saw holds none of the relay's credentials, and only the server's key. */
async function assertNothingLeaked(...tokens) {
  for (const request of await pair.received()) {
    const text = JSON.stringify(request);
    assert.ok(!/rk_|ek_relay_/.test(text), text);
    assert.equal(Object.fromEntries(request.headers).authorization, `Bearer ${SERVER_KEY}`);
  }
  const log = pair.log.join("");
  for (const token of tokens) assert.ok(!log.includes(token));
}

test("a relay key and a sealed token are openai-node's key on every family", async () => {
  for (const apiKey of [key, await sealed(key)]) {
    const client = clientOf(apiKey);
    const done = await client.chat.completions.create({ model: MODEL, messages: HELLO });
    assert.equal(done.choices[0].message.content, ANSWER);
    let text = "";
    for await (const event of await client.responses.create({ model: MODEL, input: "Hello there", stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(text, ANSWER);
    assert.equal((await client.embeddings.create({ model: "text-embedding-3-small", input: "x" })).data.length, 1);
    assert.ok((await client.models.list()).data.length > 0);
    const speech = await client.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "alloy", input: "Hello" });
    assert.ok((await speech.arrayBuffer()).byteLength > 0);
    const file = new File(["sound"], "sound.wav", { type: "audio/wav" });
    const heard = await client.audio.transcriptions.create({ model: "whisper-1", file });
    assert.equal(typeof heard.text, "string");
    const stored = await client.files.create({ file: new File(["{}"], "x.jsonl"), purpose: "batch" });
    assert.match(stored.id, /^file-/);
    await assertNothingLeaked(apiKey);
    await pair.reset();
  }
});

test("what a rule does not allow is openai-node's PermissionDeniedError that names the rule", async () => {
  for (const apiKey of [narrow, await sealed(narrow)]) {
    const client = clientOf(apiKey);
    const done = await client.chat.completions.create({ model: MODEL, messages: HELLO });
    assert.equal(done.choices[0].message.content, ANSWER);
    await pair.reset();
    for (const [rule, attempt] of [
      ["families", () => client.embeddings.create({ model: MODEL, input: "x" })],
      ["families", () => client.responses.create({ model: MODEL, input: "x" })],
      ["models", () => client.chat.completions.create({ model: "gpt-6", messages: HELLO })],
    ]) {
      await assert.rejects(attempt(), (error) => {
        assert.ok(error instanceof OpenAI.PermissionDeniedError);
        return error.code === "forbidden" && error.message.includes(`\`${rule}\``);
      });
    }
    assert.deepEqual(await pair.received(), []);
  }
});

test("a relay key and its tokens hold Realtime sessions of openai-node's and of the agents SDK's", async () => {
  for (const maker of [key, narrow]) {
    const atSecure = { baseURL: secure.baseURL };
    const client = clientOf(maker, atSecure);
    const session = { type: "realtime", model: REALTIME_MODEL };
    const minted = await client.realtime.clientSecrets.create({ session });
    assert.match(minted.value, /^ek_relay_/);
    for (const apiKey of [maker, minted.value]) {
      const rt = new OpenAIRealtimeWS({ model: REALTIME_MODEL }, clientOf(apiKey, atSecure));
      const inbox = new Inbox();
      rt.on("event", (event) => inbox.put(event));
      rt.on("error", () => {});
      await once(rt.socket, "open");
      assert.deepEqual(await converse((event) => rt.send(event), inbox), CONVERSED);
      rt.close();
      const url = `${secure.socketURL}/realtime${QUERY}`;
      assert.deepEqual(await talkToAgent(url, apiKey), TALKED);
    }
    const seen = await secure.sockets();
    assert.equal(seen.length, maker === key ? 4 : 8);
    for (const { request } of seen) {
      const text = JSON.stringify(request);
      assert.ok(!/rk_|ek_relay_/.test(text), text);
    }
    assert.ok(!secure.log.join("").includes(minted.value));
  }
});

test("a page mints through the relay, and the agents SDK in it connects by the sealed token", async () => {
  const given = await page.evaluate(([url, key, model]) => window.sockets.mint(url, key, model), [
    pair.baseURL,
    key,
    REALTIME_MODEL,
  ]);
  assert.match(given.value, /^ek_relay_/);
  const url = `${pair.socketURL}/realtime${QUERY}`;
  const talked = await page.evaluate(([url, token]) => window.sockets.talkWithToken(url, token), [url, given.value]);
  assert.deepEqual(talked, TALKED);
  const [{ request, subprotocols }] = await pair.sockets();
  const { authorization } = Object.fromEntries(request.headers);
  assert.match(authorization, /^Bearer ek_(?!relay_)/);
  assert.deepEqual(subprotocols, ["realtime"]);
  const secret = authorization.slice("Bearer ".length);
  assert.ok(!JSON.stringify(given).includes(secret), "OpenAI's credential never leaves the relay");
});

test("a page streams a chat by a sealed token that opens nothing else", async () => {
  const token = await sealed(key, { rules: { families: ["chat"], origins: [browser.origin] }, expires_in: 600 });
  const text = await page.evaluate(([url, token, model]) => window.sockets.streamChat(url, token, model), [
    pair.baseURL,
    token,
    MODEL,
  ]);
  assert.equal(text, ANSWER);
  await assertNothingLeaked(token);
  const elsewhere = clientOf(token);
  await assert.rejects(elsewhere.chat.completions.create({ model: MODEL, messages: HELLO }), OpenAI.PermissionDeniedError);
});
