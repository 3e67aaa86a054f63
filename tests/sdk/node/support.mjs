// A stand-in upstream and a relay in front of it, as processes, for the SDK and the browser tests.

import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const BINARIES = join(ROOT, "target", "debug");
const SOON = 100_000;
// `scripts/test` makes it, and has Node trust it by NODE_EXTRA_CA_CERTS.
const CERTIFICATE = join(ROOT, ".test", "tls");

export const SERVER_KEY = "sk-server-key-canary-91c0ae";
export const RELAY_TOKEN = "relay-token-for-the-sdk-tests-9876543210";
export const MODEL = "gpt-6-luna";
export const HELLO = [{ role: "user", content: "Hello there" }];
export const ANSWER = "You said: Hello there";

/** Variables of a relay that speaks TLS. */
export const TLS = { TLS_CERT: join(CERTIFICATE, "cert.pem"), TLS_KEY: join(CERTIFICATE, "key.pem") };

/** The header that tells the stand-in what to do. */
export const script = (text) => ({ headers: { "X-Fake-Script": text } });

/** Waits until something is true. */
export async function eventually(check) {
  const deadline = Date.now() + SOON;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error("it did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Starts both processes; `extra` adds variables of the relay's. */
export async function startPair(extra = {}) {
  if (extra.TLS_CERT && !process.env.NODE_EXTRA_CA_CERTS?.endsWith(".test/tls/cert.pem")) {
    throw new Error(`Node trusts this relay under \`scripts/test sdk\`, or with NODE_EXTRA_CA_CERTS=${extra.TLS_CERT}`);
  }
  const fake = spawn(join(BINARIES, "fake-openai"), ["--key", SERVER_KEY], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ready = JSON.parse(await firstLine(fake.stdout));
  const log = [];
  const relay = spawn(join(BINARIES, "openai-relay"), ["serve"], {
    cwd: mkdtempSync(join(tmpdir(), "openai-relay-sdk-")),
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      HOST: "127.0.0.1",
      PORT: "0",
      LOG_FORMAT: "json",
      OPENAI_API_KEY: SERVER_KEY,
      OPENAI_BASE_URL: ready.base_url,
      RELAY_TOKEN,
      ...extra,
    },
  });
  const address = await new Promise((resolve, reject) => {
    relay.once("exit", () => reject(new Error(`the relay ended: ${log.join("\n")}`)));
    createInterface({ input: relay.stderr }).on("line", (line) => {
      log.push(line);
      const entry = JSON.parse(line);
      if (entry.message === "listening") resolve(entry.address);
    });
  });
  // Also where a test brings its process down.
  process.once("exit", () => [relay, fake].forEach((child) => child.kill()));
  const control = ready.base_url.replace(/v1$/, "__fake/");
  const origin = `${extra.TLS_CERT ? "https" : "http"}://${address}`;
  return {
    log,
    origin,
    baseURL: `${origin}/v1`,
    socketURL: `${origin.replace("http", "ws")}/v1`,
    received: async () => (await fetch(`${control}received`)).json(),
    sockets: async () => (await fetch(`${control}sockets`)).json(),
    connections: async () => (await fetch(`${control}connections`)).json(),
    push: async (text) => void (await fetch(`${control}scripts`, { method: "POST", body: text })),
    reset: async () => void (await fetch(`${control}reset`, { method: "POST" })),
    stop: () => {
      relay.removeAllListeners("exit");
      relay.kill();
      fake.kill();
    },
  };
}

function firstLine(stream) {
  return new Promise((resolve) => createInterface({ input: stream }).once("line", resolve));
}
