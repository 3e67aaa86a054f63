// Whole sessions in the words of the retired beta, held in the same way from Node and from a page.

import { RealtimeClient } from "openai-realtime-api";

import { Inbox } from "./sessions.mjs";

/** Retired, as its users still name it, and what takes its place. */
export const PREVIEW = "gpt-4o-realtime-preview-2024-12-17";
export const SUCCESSOR = "gpt-realtime-2.1-mini";

// 100 ms of PCM with 16 bits at 24 kHz; a turn of the stand-in's is a second, a word of its is 300 ms.
const SAMPLES = 2400;
const TURN = 10;
const WORD_SAMPLES = 7200;
const SOUND = btoa("\x01\x02".repeat(SAMPLES));
const TOOL = {
  name: "get_weather",
  description: "The weather in a city",
  parameters: { type: "object", properties: { city: { type: "string" } } },
};
const SESSION = {
  modalities: ["text", "audio"],
  instructions: "Be brief.",
  voice: "alloy",
  input_audio_format: "pcm16",
  output_audio_format: "pcm16",
  input_audio_transcription: { model: "whisper-1" },
  turn_detection: { type: "server_vad", threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 },
  tools: [{ type: "function", ...TOOL }],
  tool_choice: "auto",
  temperature: 0.8,
  max_response_output_tokens: 4096,
};

const said = (text) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
});

const joined = (events, type) =>
  events
    .filter((event) => event.type === type)
    .map((event) => event.delta)
    .join("");

const soundBytes = (events) =>
  events
    .filter((event) => event.type === "response.audio.delta")
    .reduce((sum, event) => sum + atob(event.delta).length, 0);

/** What `converse` has to come back with. */
export const CONVERSED = {
  model: SUCCESSOR,
  session: SESSION,
  items: ["user", "assistant"],
  written: "You said: Hello there",
  heard: "I heard 1000 milliseconds of sound.",
  spoken: "You spoke for 1000 milliseconds.",
  soundBytes: 5 * WORD_SAMPLES * 2,
  contents: ["text", "audio"],
  call: { name: "get_weather", city: "Please get_weather" },
  used: "The tool says: sunny",
  isCounted: true,
};

/** A conversation in text, in sound and with a tool. */
export async function converse(send, inbox) {
  const created = (await inbox.to("session.created")).at(-1).session;
  await inbox.to("conversation.created");
  send({ type: "session.update", session: SESSION });
  const updated = (await inbox.to("session.updated")).at(-1).session;
  const answer = { type: "response.create", response: { modalities: ["text"] } };
  const ask = (item) => {
    send(item);
    send(answer);
    return inbox.to("rate_limits.updated");
  };
  const text = await ask(said("Hello there"));
  for (let at = 0; at < TURN; at += 1) send({ type: "input_audio_buffer.append", audio: SOUND });
  const sound = await inbox.to("rate_limits.updated");
  const called = await ask(said("Please get_weather"));
  const { call_id, name, arguments: json } = done(called).output[0];
  const output = { type: "function_call_output", call_id, output: "sunny" };
  const used = await ask({ type: "conversation.item.create", item: output });
  const items = text.filter((event) => event.type === "conversation.item.created");
  return {
    model: created.model,
    session: only(updated, SESSION),
    items: items.map((event) => event.item.role),
    written: joined(text, "response.text.delta"),
    heard: joined(sound, "conversation.item.input_audio_transcription.delta"),
    spoken: joined(sound, "response.audio_transcript.delta"),
    soundBytes: soundBytes(sound),
    contents: [text, sound].map((events) => done(events).output[0].content[0].type),
    call: { name, ...JSON.parse(json) },
    used: joined(used, "response.text.delta"),
    isCounted: done(sound).usage.output_token_details.audio_tokens > 0,
  };
}

const done = (events) => events.find((event) => event.type === "response.done").response;

/** Of a value as much as the wanted one has; the upstream completes what it was told. */
function only(value, wanted) {
  if (value === null || typeof wanted !== "object" || Array.isArray(wanted)) return value;
  return Object.fromEntries(Object.entries(wanted).map(([name, inner]) => [name, only(value[name], inner)]));
}

/** What `interrupt` has to come back with. */
export const INTERRUPTED = { status: "cancelled", reason: "client_cancelled", cut: [true, 50], deleted: true };

/** A long answer is cancelled, cut short, and deleted. */
export async function interrupt(send, inbox) {
  await inbox.to("conversation.created");
  send(said("Hello there"));
  send({ type: "response.create" });
  const { item_id } = (await inbox.to("response.audio.delta")).at(-1);
  send({ type: "response.cancel" });
  const { status, status_details } = (await inbox.to("response.done")).at(-1).response;
  send({ type: "conversation.item.truncate", item_id, content_index: 0, audio_end_ms: 50 });
  const truncated = (await inbox.to("conversation.item.truncated")).at(-1);
  send({ type: "conversation.item.delete", item_id });
  const deleted = (await inbox.to("conversation.item.deleted")).at(-1);
  const cut = [truncated.item_id === item_id, truncated.audio_end_ms];
  return { status, reason: status_details.reason, cut, deleted: deleted.item_id === item_id };
}

/** What `talkByReference` has to come back with. */
export const TALKED = {
  written: ["completed", "You said: Hello there", "text"],
  cities: ["Please get_weather"],
  used: 'The tool says: "sunny"',
  heard: ["I heard 1000 milliseconds of sound.", TURN * SAMPLES],
  spoken: ["completed", "You spoke for 1000 milliseconds.", 5 * WORD_SAMPLES],
};

/** A session of the reference client, which puts the events together and runs its tool by itself. */
export async function talkByReference(url, apiKey) {
  const { client, inbox } = await connect(url, apiKey);
  const cities = [];
  client.addTool(TOOL, ({ city }) => {
    cities.push(city);
    return "sunny";
  });
  client.updateSession({ modalities: ["text"] });
  await inbox.to("session.updated");
  client.sendUserMessageContent([{ type: "input_text", text: "Hello there" }]);
  await inbox.to("rate_limits.updated");
  const written = client.conversation.getItems().at(-1);
  client.sendUserMessageContent([{ type: "input_text", text: "Please get_weather" }]);
  // The call, and then what is said about its output.
  await inbox.to("rate_limits.updated");
  await inbox.to("rate_limits.updated");
  const used = client.conversation.getItems().at(-1);
  client.updateSession({ modalities: ["text", "audio"] });
  for (let at = 0; at < TURN; at += 1) client.appendInputAudio(new Int16Array(SAMPLES).fill(513));
  client.createResponse();
  await inbox.to("rate_limits.updated");
  const [heard, spoken] = client.conversation.getItems().slice(-2);
  client.disconnect();
  return {
    written: [written.status, written.formatted.text, written.content[0].type],
    cities,
    used: used.formatted.text,
    heard: [heard.formatted.transcript, heard.formatted.audio.length],
    spoken: [spoken.status, spoken.formatted.transcript, spoken.formatted.audio.length],
  };
}

/** What `interruptByReference` has to come back with. */
export const CUT = { status: "cancelled", samples: SAMPLES, transcript: "", items: ["user"] };

/** The reference client cancels a long answer, cuts it to 100 ms, and deletes it. */
export async function interruptByReference(url, apiKey) {
  const { client, inbox } = await connect(url, apiKey);
  client.sendUserMessageContent([{ type: "input_text", text: "Hello there" }]);
  const { item_id } = (await inbox.to("response.audio.delta")).at(-1);
  client.cancelResponse();
  const events = await inbox.to("response.done");
  client.realtime.send("conversation.item.truncate", { item_id, content_index: 0, audio_end_ms: 100 });
  await inbox.to("conversation.item.truncated");
  const { formatted } = client.conversation.getItem(item_id);
  const [samples, transcript] = [formatted.audio.length, formatted.transcript];
  client.deleteItem(item_id);
  await inbox.to("conversation.item.deleted");
  const items = client.conversation.getItems().map(({ role }) => role);
  client.disconnect();
  return { status: done(events).status, samples, transcript, items };
}

async function connect(url, apiKey) {
  const client = new RealtimeClient({ url, apiKey, dangerouslyAllowAPIKeyInBrowser: true });
  const inbox = new Inbox();
  client.realtime.on("server.*", (event) => inbox.put(event));
  await client.connect();
  await inbox.to("session.updated");
  return { client, inbox };
}
