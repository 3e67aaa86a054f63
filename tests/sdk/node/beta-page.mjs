// What runs inside a page of 2025: its own WebSocket as relays' guides give it, openai-node, the reference client.

import OpenAI from "openai-beta";
import { OpenAIRealtimeWebSocket } from "openai-beta/beta/realtime/websocket";

import { PREVIEW, converse, interrupt, interruptByReference, talkByReference } from "./beta-sessions.mjs";
import { Inbox } from "./sessions.mjs";

/** Opens a socket as the page itself does, with its token among the subprotocols. */
async function open(relay, token) {
  const protocols = ["realtime", `openai-insecure-api-key.${token}`, "openai-beta.realtime-v1"];
  const socket = new WebSocket(`${relay}/realtime?model=${PREVIEW}`, protocols);
  const inbox = new Inbox();
  socket.onmessage = ({ data }) => inbox.put(JSON.parse(data));
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  });
  return { socket, inbox, send: (event) => socket.send(JSON.stringify(event)) };
}

window.beta = {
  async converse(relay, token) {
    const { socket, inbox, send } = await open(relay, token);
    const conversed = await converse(send, inbox);
    socket.close();
    return { conversed, protocol: socket.protocol };
  },

  async interrupt(relay, token) {
    const { socket, inbox, send } = await open(relay, token);
    const interrupted = await interrupt(send, inbox);
    socket.close();
    return interrupted;
  },

  async converseBySdk(baseURL, token) {
    const client = new OpenAI({ baseURL, apiKey: token, dangerouslyAllowBrowser: true });
    const rt = new OpenAIRealtimeWebSocket({ model: PREVIEW, dangerouslyAllowBrowser: true }, client);
    const inbox = new Inbox();
    rt.on("event", (event) => inbox.put(event));
    rt.on("error", () => {});
    await new Promise((resolve) => rt.socket.addEventListener("open", resolve));
    const conversed = await converse((event) => rt.send(event), inbox);
    rt.close();
    return conversed;
  },

  talkByReference,
  interruptByReference,
};
