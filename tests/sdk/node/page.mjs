// What runs inside the page: fetch, the browser build of openai-node, and WebRTC offers.

import OpenAI from "openai";

const MODEL = "gpt-6-luna";
const HELLO = [{ role: "user", content: "Hello there" }];

function openai(baseURL, apiKey) {
  return new OpenAI({ baseURL, apiKey, dangerouslyAllowBrowser: true, maxRetries: 2 });
}

async function post(url, token, body, headers = {}) {
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }), ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** A real offer with sound and a data channel, as the guides make it. */
async function makeOffer() {
  const peer = new RTCPeerConnection();
  peer.addTransceiver("audio", { direction: "sendrecv" });
  peer.createDataChannel("oai-events");
  await peer.setLocalDescription();
  return { peer, sdp: peer.localDescription.sdp };
}

window.relay = {
  async fetchChat(baseURL, token, stream) {
    const answer = await post(`${baseURL}/chat/completions`, token, { model: MODEL, messages: HELLO, stream });
    const readable = ["x-request-id", "x-ratelimit-limit-requests", "x-ratelimit-reset-tokens"];
    const headers = Object.fromEntries(readable.map((name) => [name, answer.headers.get(name)]));
    return { status: answer.status, text: await answer.text(), headers };
  },

  async sdkChat(baseURL, token, options = {}) {
    const body = { model: MODEL, messages: HELLO, ...options.body };
    const done = await openai(baseURL, token).chat.completions.create(body, { headers: options.headers });
    return done.choices[0].message.content;
  },

  async sdkStream(baseURL, token) {
    const client = openai(baseURL, token);
    let text = "";
    for await (const chunk of await client.chat.completions.create({ model: MODEL, messages: HELLO, stream: true })) {
      text += chunk.choices[0]?.delta.content ?? "";
    }
    const types = [];
    for await (const event of await client.responses.create({ model: MODEL, input: "Hello there", stream: true })) {
      types.push(event.type);
    }
    return { text, last: types.at(-1) };
  },

  async sdkError(baseURL, token, body = {}) {
    try {
      await window.relay.sdkChat(baseURL, token, { body });
      return null;
    } catch (error) {
      return { kind: error.constructor.name, status: error.status, code: error.code, requestID: error.requestID };
    }
  },

  async offer(origin, token, body) {
    const { peer, sdp } = await makeOffer();
    const answer = await post(`${origin}/offer`, token, { sdp, ...body });
    const json = await answer.json();
    if (!answer.ok) return { status: answer.status, json };
    await peer.setRemoteDescription({ type: "answer", sdp: json.sdp });
    const { relayed, duration, callId } = json;
    return { status: answer.status, state: peer.signalingState, relayed, duration, callId };
  },

  async brokenOffer(origin, token) {
    const answer = await post(`${origin}/offer`, token, { sdp: "v=0\r\nnonsense\r\n" });
    return { status: answer.status, json: await answer.json() };
  },

  async call(baseURL, ephemeral) {
    const { peer, sdp } = await makeOffer();
    const answer = await fetch(`${baseURL}/realtime/calls`, {
      method: "POST",
      headers: { Authorization: `Bearer ${ephemeral}`, "Content-Type": "application/sdp" },
      body: sdp,
    });
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    return { status: answer.status, location: answer.headers.get("location"), state: peer.signalingState };
  },
};
