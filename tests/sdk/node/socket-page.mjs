// What runs inside the page: native WebSockets, the browser build of openai-node, and the agents SDK.

import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";

import { Inbox, REALTIME_MODEL, converse, talkToAgent } from "./sessions.mjs";

/** As guides for pages write it. */
const protocols = (token, ...more) => ["realtime", `openai-insecure-api-key.${token}`, ...more];

function listen(socket, inbox = new Inbox()) {
  socket.addEventListener("message", ({ data }) => inbox.put(JSON.parse(data)));
  return inbox;
}

const opened = (socket) =>
  new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("close", ({ code }) => reject(new Error(`closed with ${code}`)));
  });

const closed = (socket) => new Promise((resolve) => socket.addEventListener("close", resolve));

async function digest(texts) {
  const bytes = new TextEncoder().encode(texts.join(""));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const sha256 = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { messages: texts.length, bytes: bytes.length, sha256 };
}

window.sockets = {
  async converse(url, token, ...more) {
    const socket = new WebSocket(url, protocols(token, ...more));
    const inbox = listen(socket);
    await opened(socket);
    const conversed = await converse((event) => socket.send(JSON.stringify(event)), inbox);
    const { protocol, extensions } = socket;
    socket.close(1000, "done");
    const { code, wasClean } = await closed(socket);
    return { conversed, protocol, extensions, code, wasClean };
  },

  async converseBySdk(baseURL, token) {
    const client = new OpenAI({ baseURL, apiKey: token, dangerouslyAllowBrowser: true });
    const rt = new OpenAIRealtimeWebSocket({ model: REALTIME_MODEL }, client);
    const inbox = new Inbox();
    rt.on("event", (event) => inbox.put(event));
    rt.on("error", () => {});
    await opened(rt.socket);
    const conversed = await converse((event) => rt.send(event), inbox);
    rt.close();
    return conversed;
  },

  /** The first error that the SDK raises, and how its socket closes. */
  async refusalBySdk(baseURL, token, model = REALTIME_MODEL) {
    const client = new OpenAI({ baseURL, apiKey: token, dangerouslyAllowBrowser: true });
    const rt = new OpenAIRealtimeWebSocket({ model }, client);
    const told = new Promise((resolve) => rt.on("error", resolve));
    const { code, reason } = await closed(rt.socket);
    return { error: (await told).error?.code, code, reason };
  },

  talkToAgent: (url, token) => talkToAgent(url, token, { useInsecureApiKey: true }),

  talkWithToken: (url, token) => talkToAgent(url, token, {}),

  /** A credential for a browser, by whoever logged in here. */
  async mint(baseURL, key, model) {
    const answer = await fetch(`${baseURL}/realtime/client_secrets`, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body: JSON.stringify({ session: { type: "realtime", model } }),
    });
    return answer.json();
  },

  async streamChat(baseURL, token, model) {
    const client = new OpenAI({ baseURL, apiKey: token, dangerouslyAllowBrowser: true });
    const messages = [{ role: "user", content: "Hello there" }];
    let text = "";
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
      text += chunk.choices[0]?.delta?.content ?? "";
    }
    return text;
  },

  /** Everything that a page can tell of a socket that does not last. */
  async refusal(url, ...list) {
    const socket = new WebSocket(url, list);
    const events = [];
    let hasOpened = false;
    socket.addEventListener("open", () => (hasOpened = true));
    socket.addEventListener("message", ({ data }) => events.push(JSON.parse(data)));
    const { code, reason, wasClean } = await closed(socket);
    return { hasOpened, errors: events.map(({ type, error }) => [type, error?.code]), code, reason, wasClean };
  },

  /** So many bytes of sound in one append, and all that is said about them. */
  async exchangeSound(url, token, soundBytes) {
    const socket = new WebSocket(url, protocols(token));
    const inbox = listen(socket);
    const [sent, received] = [[], []];
    socket.addEventListener("message", ({ data }) => received.push(data));
    await opened(socket);
    const send = (event) => {
      sent.push(JSON.stringify(event));
      socket.send(sent.at(-1));
    };
    const input = { turn_detection: null };
    send({ type: "session.update", session: { type: "realtime", audio: { input } } });
    // Four letters of base64 are three bytes.
    send({ type: "input_audio_buffer.append", audio: "abc+".repeat(soundBytes / 3) });
    send({ type: "input_audio_buffer.commit" });
    send({ type: "response.create" });
    await inbox.to("rate_limits.updated");
    socket.close();
    await closed(socket);
    return { sent: await digest(sent), received: await digest(received) };
  },
};
