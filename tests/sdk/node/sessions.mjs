// Whole sessions, held in the same words from Node and from a page.

import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { z } from "zod";

export const REALTIME_MODEL = "gpt-realtime-2.1";

// 100 ms of PCM with 16 bits at 24 kHz; a turn of the stand-in's is a second.
const SOUND_BYTES = 4800;
const TURN = 10;
const SOUND = "\x01\x02".repeat(SOUND_BYTES / 2);
const APPEND = { type: "input_audio_buffer.append", audio: btoa(SOUND) };
const TOOL = {
  type: "function",
  name: "get_weather",
  parameters: { type: "object", properties: { city: { type: "string" } } },
};
const SESSION = {
  type: "realtime",
  tools: [TOOL],
  audio: { input: { transcription: { model: "gpt-4o-transcribe" } } },
};

/** Events in the order in which they came. */
export class Inbox {
  #events = [];
  #wake = () => {};

  put(event) {
    this.#events.push(event);
    this.#wake();
  }

  /** Those up to the next of that type; an error that comes before it is thrown. */
  async to(type) {
    for (;;) {
      const at = this.#events.findIndex((event) => event.type === type || event.type === "error");
      if (at >= 0 && this.#events[at].type !== type) throw new Error(JSON.stringify(this.#events[at]));
      if (at >= 0) return this.#events.splice(0, at + 1);
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

const said = (text) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
});

const joined = (events, type) =>
  events
    .filter((event) => event.type === type)
    .map((event) => event.delta)
    .join("");

/** What `converse` has to come back with: the stand-in says a word in 300 ms, which are 14,400 bytes. */
export const CONVERSED = {
  model: REALTIME_MODEL,
  written: "You said: Hello there",
  heard: "I heard 1000 milliseconds of sound.",
  spoken: "You spoke for 1000 milliseconds.",
  soundBytes: 5 * 14_400,
  call: { name: "get_weather", city: "Please get_weather" },
  used: "The tool says: sunny",
};

/** A conversation in text, in sound and with a tool. */
export async function converse(send, inbox) {
  const created = (await inbox.to("session.created")).at(-1);
  send({ type: "session.update", session: SESSION });
  await inbox.to("session.updated");
  const answer = { type: "response.create", response: { output_modalities: ["text"] } };
  const ask = (item) => {
    send(item);
    send(answer);
    return inbox.to("rate_limits.updated");
  };
  const text = await ask(said("Hello there"));
  for (let at = 0; at < TURN; at += 1) send(APPEND);
  const sound = await inbox.to("rate_limits.updated");
  const deltas = sound.filter((event) => event.type === "response.output_audio.delta");
  const called = await ask(said("Please get_weather"));
  const done = called.find((event) => event.type === "response.done");
  const { call_id, name, arguments: json } = done.response.output[0];
  const output = { type: "function_call_output", call_id, output: "sunny" };
  const used = await ask({ type: "conversation.item.create", item: output });
  return {
    model: created.session.model,
    written: joined(text, "response.output_text.delta"),
    heard: joined(sound, "conversation.item.input_audio_transcription.delta"),
    spoken: joined(sound, "response.output_audio_transcript.delta"),
    soundBytes: deltas.reduce((sum, event) => sum + atob(event.delta).length, 0),
    call: { name, ...JSON.parse(json) },
    used: joined(used, "response.output_text.delta"),
  };
}

/** What `talkToAgent` has to come back with. */
export const TALKED = {
  cities: ["Please get_weather"],
  said: "The tool says: sunny in Please get_weather",
  soundBytes: 7 * 14_400,
};

/** A session of the agents SDK, which runs its tool by itself and speaks about it. */
export async function talkToAgent(url, apiKey, options = {}) {
  const cities = [];
  const weather = tool({
    name: "get_weather",
    description: "The weather in a city",
    parameters: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      cities.push(city);
      return `sunny in ${city}`;
    },
  });
  const agent = new RealtimeAgent({ name: "Guide", instructions: "Be brief.", tools: [weather] });
  const transport = new OpenAIRealtimeWebSocket({ url, ...options });
  const session = new RealtimeSession(agent, { transport, model: REALTIME_MODEL });
  const inbox = new Inbox();
  let soundBytes = 0;
  session.on("transport_event", (event) => inbox.put(event));
  session.on("error", ({ error }) => inbox.put({ type: "error", error: String(error?.error?.message ?? error) }));
  session.on("audio", ({ data }) => (soundBytes += data.byteLength));
  await session.connect({ apiKey });
  try {
    session.sendMessage("Please get_weather");
    // The call, and then what is said about its output.
    await inbox.to("response.done");
    const events = await inbox.to("response.done");
    return { cities, said: joined(events, "response.output_audio_transcript.delta"), soundBytes };
  } finally {
    session.close();
  }
}
