// Sockets through the relay from Node: openai-node (over TLS, without which it dials no Realtime), the agents SDK,
// and ws.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { after, before, beforeEach, test } from "node:test";

import OpenAI from "openai";
import { LiveWS } from "openai/resources/live/ws";
import { ResponsesWS } from "openai/resources/responses/ws";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { OpenAIRealtimeTranslationWS } from "openai/realtime/translations/ws";
import WebSocket from "ws";

import { CONVERSED, Inbox, REALTIME_MODEL, TALKED, converse, talkToAgent } from "./sessions.mjs";
import { ANSWER, HELLO, MODEL, RELAY_TOKEN, SERVER_KEY, TLS, eventually, script, startPair } from "./support.mjs";

let plain, secure, client;

before(async () => {
  secure = await startPair(TLS);
  plain = await startPair();
  client = new OpenAI({ baseURL: secure.baseURL, apiKey: RELAY_TOKEN });
});
beforeEach(() => Promise.all([plain.reset(), secure.reset()]));
after(() => [plain, secure].forEach((pair) => pair?.stop()));

const BEARER = { Authorization: `Bearer ${RELAY_TOKEN}` };
const QUERY = `?model=${REALTIME_MODEL}`;

/** A Realtime socket of openai-node's, its events, and the bytes that came. */
async function realtime(props = {}, of = client) {
  const rt = new OpenAIRealtimeWS({ model: REALTIME_MODEL, ...props }, of);
  const inbox = new Inbox();
  const raw = [];
  rt.on("event", (event) => inbox.put(event));
  rt.on("error", () => {});
  rt.socket.on("message", (data) => raw.push(data));
  await once(rt.socket, "open");
  return { rt, inbox, raw };
}

test("openai-node talks HTTP to a relay with TLS", async () => {
  const done = await client.chat.completions.create({ model: MODEL, messages: HELLO });
  assert.equal(done.choices[0].message.content, ANSWER);
});

test("OpenAIRealtimeWS converses in text, in sound and with a tool, byte for byte", async () => {
  const { rt, inbox, raw } = await realtime();
  assert.deepEqual(await converse((event) => rt.send(event), inbox), CONVERSED);
  rt.close();
  await once(rt.socket, "close");
  const bytes = Buffer.concat(raw);
  const [{ sent, received }] = await secure.sockets();
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  assert.deepEqual(sent.text, { messages: raw.length, bytes: bytes.length, sha256 });
  assert.deepEqual(received.close, { code: 1000, reason: "OK" });
});

test("a model that is not there is told, and closes with OpenAI's code", async () => {
  const rt = new OpenAIRealtimeWS({ model: "gpt-realtime-0" }, client);
  const told = new Promise((resolve) => rt.on("error", resolve));
  const [code, reason] = await once(rt.socket, "close");
  assert.equal((await told).error.code, "model_not_found");
  assert.deepEqual([code, String(reason)], [4004, "invalid_request_error.model_not_found"]);
});

test("a wrong token is an error of the SDK's, and goes nowhere", async () => {
  const stranger = new OpenAI({ baseURL: secure.baseURL, apiKey: "wrong" });
  const rt = new OpenAIRealtimeWS({ model: REALTIME_MODEL }, stranger);
  const error = await new Promise((resolve) => rt.on("error", resolve));
  assert.match(error.message, /401/);
  assert.deepEqual(await secure.received(), []);
});

test("an upstream that is lost is one that openai-node dials again", async () => {
  const reconnect = true;
  const options = script("fin after=1 key=node-lost times=1");
  const { rt, inbox } = await realtime({ reconnect, reconnectInitialDelay: 10, options });
  const codes = [];
  rt.on("reconnecting", ({ closeCode }) => codes.push(closeCode));
  await inbox.to("session.created");
  rt.send({ type: "input_audio_buffer.clear" });
  await assert.rejects(inbox.to("session.created"), /upstream_broken/);
  await eventually(async () => (await secure.sockets()).length === 2);
  assert.deepEqual(codes, [1011]);
  rt.close();
});

test("responses come in lanes over one socket", async () => {
  for (const pair of [secure, plain]) {
    const ws = new ResponsesWS(new OpenAI({ baseURL: pair.baseURL, apiKey: RELAY_TOKEN }));
    const inbox = new Inbox();
    ws.on("event", (event) => inbox.put(event));
    ws.on("error", () => {});
    const ask = (body) => ws.send({ type: "response.create", model: MODEL, ...body });
    ask({ input: "Hello a", stream_id: "a" });
    ask({ input: "Hello b", stream_id: "b" });
    const texts = {};
    let last;
    for (let count = 0; count < 2; count += 1) {
      last = (await inbox.to("response.completed")).at(-1);
      texts[last.stream_id] = last.response.output[0].content[0].text;
    }
    assert.deepEqual(texts, { a: "You said: Hello a", b: "You said: Hello b" });
    ask({ input: "More", stream_id: last.stream_id, previous_response_id: last.response.id });
    const more = (await inbox.to("response.completed")).at(-1).response;
    assert.equal(more.previous_response_id, last.response.id);
    ask({ model: "gpt-0", input: "Hi" });
    const [refused] = await inbox.to("error");
    assert.deepEqual([refused.status, refused.error.code], [404, "model_not_found"]);
    ws.close();
    assert.equal((await pair.sockets()).length, 1);
  }
});

test("translations and live sessions open too", async () => {
  const translation = await OpenAIRealtimeTranslationWS.create(client, { model: "gpt-realtime-translate" });
  const created = await new Promise((resolve) => translation.on("session.created", resolve));
  assert.equal(created.session.model, "gpt-realtime-translate");
  translation.close();
  const live = new LiveWS(client);
  const inbox = new Inbox();
  live.on("event", (event) => inbox.put(event));
  live.send({ type: "session.start", session: { model: "gpt-live-1" } });
  await inbox.to("session.started");
  live.send({ type: "session.close" });
  assert.equal((await inbox.to("session.closed")).at(-1).reason, "close_requested");
  live.close();
});

test("the agents SDK calls its tool and speaks", async () => {
  for (const pair of [plain, secure]) {
    const talked = await talkToAgent(`${pair.socketURL}/realtime${QUERY}`, RELAY_TOKEN);
    assert.deepEqual(talked, TALKED);
    const [{ request }] = await pair.sockets();
    const headers = Object.fromEntries(request.headers);
    assert.equal(headers.authorization, `Bearer ${SERVER_KEY}`);
    assert.match(headers["x-openai-agents-sdk"], /^openai-agents-sdk\./);
  }
});

test("the agents SDK hears why it was refused", async () => {
  await assert.rejects(talkToAgent(`${plain.socketURL}/realtime${QUERY}`, "wrong"), (error) => {
    assert.match(error.message ?? error.error?.message, /401/);
    return true;
  });
  assert.deepEqual(await plain.received(), []);
});

test("ws sends and gets every kind of message", async () => {
  for (const pair of [plain, secure]) {
    // As it comes, it offers compression.
    const headers = { ...BEARER, ...script("echo").headers };
    const socket = new WebSocket(`${pair.socketURL}/realtime${QUERY}`, { headers });
    await once(socket, "open");
    assert.deepEqual([socket.protocol, socket.extensions], ["", ""]);
    for (const sent of ["text", Buffer.from([0, 255]), "", "x".repeat(2 ** 22)]) {
      socket.send(sent);
      const [data, isBinary] = await once(socket, "message");
      assert.ok(Buffer.from(sent).equals(data));
      assert.equal(isBinary, typeof sent !== "string");
    }
    socket.send("in ", { fin: false });
    socket.send("pieces", { fin: true });
    assert.equal(String((await once(socket, "message"))[0]), "in pieces");
    socket.ping("are you there");
    assert.equal(String((await once(socket, "pong"))[0]), "are you there");
    socket.close(4321, "had enough");
    assert.equal((await once(socket, "close"))[0], 4321);
    const [{ received }] = await pair.sockets();
    assert.deepEqual(received.close, { code: 4321, reason: "had enough" });
    assert.deepEqual([received.text.messages, received.binary.messages], [4, 1]);
  }
});

test("ws and the agents SDK get compression where the operator allows it", async (t) => {
  const pair = await startPair({ WS_COMPRESSION: "true" });
  t.after(() => pair.stop());
  const url = `${pair.socketURL}/realtime${QUERY}`;
  const socket = new WebSocket(url, { headers: { ...BEARER, ...script("echo").headers } });
  await once(socket, "open");
  assert.match(socket.extensions, /^permessage-deflate/);
  // Small ones are not worth it: `ws` compresses from 1 KiB on.
  for (const sent of ["small", "x".repeat(2 ** 22), Buffer.alloc(100_000, 1), ""]) {
    socket.send(sent);
    const [data] = await once(socket, "message");
    assert.ok(Buffer.from(sent).equals(data));
  }
  socket.close();
  await once(socket, "close");
  assert.deepEqual(await talkToAgent(url, RELAY_TOKEN), TALKED);
  for (const seen of await pair.sockets()) assert.equal(seen.deflate_offered, false);
});

test("ws offers the token as a subprotocol, which stays with the relay", async () => {
  const offered = ["realtime", `openai-insecure-api-key.${RELAY_TOKEN}`];
  const socket = new WebSocket(`${plain.socketURL}/realtime${QUERY}`, offered);
  const [data] = await once(socket, "message");
  assert.equal(JSON.parse(data).type, "session.created");
  assert.equal(socket.protocol, "realtime");
  const [seen] = await plain.sockets();
  assert.deepEqual(seen.subprotocols, ["realtime"]);
  assert.ok(!JSON.stringify(seen).includes(RELAY_TOKEN));
  socket.close();
  await once(socket, "close");
  await eventually(() => plain.log.at(-1).includes('"outcome":"completed"'));
  assert.ok(!plain.log.join("").includes(SERVER_KEY) && !plain.log.join("").includes(RELAY_TOKEN));
});

test("ws reads why an upgrade was refused", async () => {
  for (const [headers, status, code] of [
    [{}, 401, "invalid_api_key"],
    [{ ...BEARER, ...script("status=429 retry-after=1").headers }, 429, "rate_limit_exceeded"],
    [{ ...BEARER, ...script("garbage").headers }, 502, "upstream_broken"],
  ]) {
    const socket = new WebSocket(`${plain.socketURL}/realtime${QUERY}`, { headers });
    socket.on("error", () => {});
    const [, response] = await once(socket, "unexpected-response");
    const body = JSON.parse(Buffer.concat(await response.toArray()));
    assert.deepEqual([response.statusCode, body.error.code], [status, code]);
  }
});
