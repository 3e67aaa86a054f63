// Clients of the retired beta from Node, unmodified: the beta classes of openai-node, and the reference client.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, beforeEach, test } from "node:test";

import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/beta/realtime/ws";
import OpenAIOf2025 from "openai-beta";
import { OpenAIRealtimeWS as OpenAIRealtimeWSOf2025 } from "openai-beta/beta/realtime/ws";

import * as beta from "./beta-sessions.mjs";
import { Inbox } from "./sessions.mjs";
import { RELAY_TOKEN, SERVER_KEY, TLS, script, startPair } from "./support.mjs";

let plain, secure;

before(async () => {
  secure = await startPair(TLS);
  plain = await startPair();
});
beforeEach(() => Promise.all([plain.reset(), secure.reset()]));
after(() => [plain, secure].forEach((pair) => pair?.stop()));

// The classes are there to this day.
const SDKS = [
  ["openai-node of 2025", OpenAIOf2025, OpenAIRealtimeWSOf2025],
  ["openai-node", OpenAI, OpenAIRealtimeWS],
];

/** A socket of the SDK's, and its events. */
async function open(Client, Socket, options, apiKey = RELAY_TOKEN) {
  const client = new Client({ baseURL: secure.baseURL, apiKey });
  const rt = new Socket({ model: beta.PREVIEW, options }, client);
  const inbox = new Inbox();
  rt.on("event", (event) => inbox.put(event));
  rt.on("error", () => {});
  await once(rt.socket, "open");
  return { rt, inbox, send: (event) => rt.send(event) };
}

/** What the upstream was asked for: GA, by the server's key. */
async function checkUpstream(pair, count = 1) {
  const sockets = await pair.sockets();
  assert.equal(sockets.length, count);
  for (const { request, subprotocols } of sockets) {
    const headers = Object.fromEntries(request.headers);
    assert.equal(request.target, `/v1/realtime?model=${beta.SUCCESSOR}`);
    assert.equal(headers.authorization, `Bearer ${SERVER_KEY}`);
    assert.deepEqual([headers["openai-beta"], subprotocols], [undefined, []]);
  }
}

for (const [name, Client, Socket] of SDKS) {
  test(`${name} holds a beta conversation in text, in sound and with a tool`, async () => {
    const { rt, inbox, send } = await open(Client, Socket);
    assert.deepEqual(await beta.converse(send, inbox), beta.CONVERSED);
    rt.close();
    await once(rt.socket, "close");
    await checkUpstream(secure);
  });

  test(`${name} cancels, cuts short and deletes an answer of the beta's`, async () => {
    const { rt, inbox, send } = await open(Client, Socket, script("speech=600000"));
    assert.deepEqual(await beta.interrupt(send, inbox), beta.INTERRUPTED);
    rt.close();
  });

  test(`${name} mints a key in the beta's shape, and it opens a session`, async () => {
    const client = new Client({ baseURL: secure.baseURL, apiKey: RELAY_TOKEN });
    const wish = { model: beta.PREVIEW, voice: "ash", modalities: ["text"], temperature: 0.7 };
    const minted = await client.beta.realtime.sessions.create(wish);
    assert.match(minted.client_secret.value, /^ek_/);
    assert.ok(minted.client_secret.expires_at > Date.now() / 1000);
    const { voice, modalities, temperature } = minted;
    assert.deepEqual([voice, modalities, temperature], ["ash", ["text"], 0.7]);
    const { rt, inbox } = await open(Client, Socket, {}, minted.client_secret.value);
    const { session } = (await inbox.to("session.created")).at(-1);
    assert.deepEqual([session.voice, session.modalities], ["ash", ["text"]]);
    rt.close();
    const hearing = { input_audio_transcription: { model: "gpt-4o-transcribe" } };
    const ear = await client.beta.realtime.transcriptionSessions.create(hearing);
    assert.match(ear.client_secret.value, /^ek_/);
    assert.equal(ear.input_audio_transcription.model, "gpt-4o-transcribe");
  });
}

test("a beta session that is refused tells openai-node of 2025 why", async () => {
  const client = new OpenAIOf2025({ baseURL: secure.baseURL, apiKey: RELAY_TOKEN });
  const rt = new OpenAIRealtimeWSOf2025({ model: "gpt-realtime-0" }, client);
  const told = new Promise((resolve) => rt.on("error", resolve));
  const [code] = await once(rt.socket, "close");
  assert.deepEqual([(await told).error.code, code], ["model_not_found", 4004]);
});

test("the reference client puts a conversation together and runs its tool", async () => {
  for (const path of ["/v1/realtime", "/realtime", "/"]) {
    await plain.reset();
    const url = plain.socketURL.replace(/\/v1$/, path);
    assert.deepEqual(await beta.talkByReference(url, RELAY_TOKEN), beta.TALKED);
    await checkUpstream(plain);
  }
});

test("the reference client interrupts", async () => {
  await plain.push("speech=600000");
  const url = `${plain.socketURL}/realtime`;
  assert.deepEqual(await beta.interruptByReference(url, RELAY_TOKEN), beta.CUT);
});
