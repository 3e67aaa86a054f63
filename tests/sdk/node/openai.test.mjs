// openai-node through the relay, with only baseURL and the relay's token set.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import OpenAI, { toFile } from "openai";

import { ANSWER, HELLO, MODEL, RELAY_TOKEN, SERVER_KEY, eventually, script, startPair } from "./support.mjs";

let pair, client, once;

before(async () => {
  pair = await startPair();
  client = new OpenAI({ baseURL: pair.baseURL, apiKey: RELAY_TOKEN });
  once = client.withOptions({ maxRetries: 0 });
});
beforeEach(() => pair.reset());
after(() => pair.stop());

const chat = (options, extra = {}) =>
  (options.once ?? client).chat.completions.create({ model: MODEL, messages: HELLO, ...extra }, options);

test("a chat completion comes whole", async () => {
  const done = await chat({});
  assert.equal(done.choices[0].message.content, ANSWER);
  assert.match(done._request_id, /^req_/);
});

test("a chat completion streams with its usage", async () => {
  const stream = await chat({}, { stream: true, stream_options: { include_usage: true } });
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, ANSWER);
  assert.ok(usage.total_tokens > 0);
});

test("a legacy completion comes whole and streams", async () => {
  const body = { model: "gpt-3.5-turbo-instruct", prompt: "Hi" };
  assert.equal((await client.completions.create(body)).choices[0].text, "You said: Hi");
  let text = "";
  for await (const chunk of await client.completions.create({ ...body, stream: true })) {
    text += chunk.choices[0].text;
  }
  assert.equal(text, "You said: Hi");
});

test("a response comes whole and streams in order", async () => {
  const done = await client.responses.create({ model: MODEL, input: "Hello there" });
  assert.equal(done.output_text, ANSWER);
  const events = [];
  for await (const event of await client.responses.create({ model: MODEL, input: "Hello there", stream: true })) {
    events.push(event);
  }
  assert.equal(events.at(0).type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
});

test("embeddings, moderations and models come through", async () => {
  const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
  assert.deepEqual(vectors.data.map((item) => item.embedding.length), [1536, 1536]);
  assert.ok((await client.moderations.create({ input: "violence" })).results[0].flagged);
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes(MODEL));
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
});

test("an image comes whole and streams", async () => {
  const body = { model: "gpt-image-1", prompt: "a dot" };
  assert.ok((await client.images.generate(body)).data[0].b64_json);
  const types = [];
  for await (const event of await client.images.generate({ ...body, stream: true })) types.push(event.type);
  assert.deepEqual(types, ["image_generation.partial_image", "image_generation.completed"]);
});

test("speech comes as bytes", async () => {
  const answer = await client.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "marin", input: "Hello" });
  assert.equal((await answer.arrayBuffer()).byteLength, 96_044);
});

test("a transcription is uploaded whole and streamed", async () => {
  const file = await toFile(Buffer.alloc(100_000), "sound.wav");
  const body = { model: "gpt-4o-transcribe", file };
  const text = "I heard 100000 bytes of sound.";
  assert.equal((await client.audio.transcriptions.create(body)).text, text);
  let last;
  for await (const event of await client.audio.transcriptions.create({ ...body, stream: true })) last = event;
  assert.equal(last.text, text);
});

test("64 MiB go up from a file and come down unchanged", async () => {
  const block = randomBytes(1024 * 1024);
  const content = Buffer.concat(Array(64).fill(block));
  const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
  const path = join(tmpdir(), `openai-relay-${process.pid}.bin`);
  writeFileSync(path, content);
  const stored = await client.files.create({ file: createReadStream(path), purpose: "user_data" });
  assert.equal(stored.bytes, content.length);
  const down = Buffer.from(await (await client.files.content(stored.id)).arrayBuffer());
  assert.equal(digest(down), digest(content));
});

test("a large file is uploaded in parts", async () => {
  const upload = await client.uploads.create({ bytes: 6, filename: "a.txt", mime_type: "text/plain", purpose: "user_data" });
  const ids = [];
  for (const piece of ["abc", "def"]) {
    ids.push((await client.uploads.parts.create(upload.id, { data: await toFile(Buffer.from(piece)) })).id);
  }
  const done = await client.uploads.complete(upload.id, { part_ids: ids });
  assert.equal(await (await client.files.content(done.file.id)).text(), "abcdef");
});

test("a client secret is minted", async () => {
  const secret = await client.realtime.clientSecrets.create({ session: { type: "realtime", model: "gpt-realtime-2.1" } });
  assert.match(secret.value, /^ek_/);
});

test("a wrong token raises an authentication error and goes nowhere", async () => {
  const stranger = new OpenAI({ baseURL: pair.baseURL, apiKey: "wrong" });
  await assert.rejects(stranger.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, "invalid_api_key");
    return true;
  });
  assert.deepEqual(await pair.received(), []);
});

test("upstream refusals raise their own classes", async () => {
  const cases = [
    [{}, { model: "gpt-0" }, OpenAI.NotFoundError],
    [{}, { messages: [] }, OpenAI.BadRequestError],
    [script("status=403"), {}, OpenAI.PermissionDeniedError],
    [script("status=429"), {}, OpenAI.RateLimitError],
    [script("status=500"), {}, OpenAI.InternalServerError],
    [script("status=502 html"), {}, OpenAI.InternalServerError],
  ];
  for (const [options, extra, kind] of cases) {
    await assert.rejects(chat({ once, ...options }, extra), kind);
  }
});

test("a rate limit is retried as the upstream says", async () => {
  const done = await chat(script("status=429 retry-after-ms=10 times=2 key=node-retry"));
  assert.equal(done.choices[0].message.content, ANSWER);
  assert.equal((await pair.received()).length, 3);
});

test("a stream that breaks raises what the relay says of it", async () => {
  const broken = { once, ...script("cut-after=2") };
  const reading = async (stream) => {
    for await (const event of await stream) assert.ok(event);
  };
  const isTold = (error) => {
    assert.ok(error instanceof OpenAI.APIError, String(error));
    assert.match(JSON.stringify(error.error), /upstream_broken/);
    return true;
  };
  await assert.rejects(reading(chat(broken, { stream: true })), isTold);
  await assert.rejects(reading(once.responses.create({ model: MODEL, input: "Hi", stream: true }, broken)), isTold);
});

test("a timeout of the client raises its own class", async () => {
  const options = { once, timeout: 300, ...script("hang=head") };
  await assert.rejects(chat(options), OpenAI.APIConnectionTimeoutError);
  await eventually(() => pair.log.some((line) => line.includes('"outcome":"client_gone"')));
});

test("an aborted stream ends the upstream exchange", async () => {
  const { open } = await pair.connections();
  const stream = await chat({ once, ...script("hang=body") }, { stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk);
    break;
  }
  stream.controller.abort();
  await eventually(async () => (await pair.connections()).open <= open);
});

test("no secret crosses the relay", async () => {
  const { data, response } = await client.chat.completions.create({ model: MODEL, messages: HELLO }).withResponse();
  const seen = JSON.stringify([data, [...response.headers]]);
  assert.ok(!seen.includes(SERVER_KEY));
  for (const request of await pair.received()) {
    assert.ok(!JSON.stringify(request).includes(RELAY_TOKEN));
  }
  assert.ok(!pair.log.join("").includes(SERVER_KEY) && !pair.log.join("").includes(RELAY_TOKEN));
});
