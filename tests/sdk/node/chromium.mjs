// Headless Chromium, and pages for it on origins of their own.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { chromium } from "playwright-core";

import { TLS } from "./support.mjs";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // The pair of the tests is signed by nobody.
  "--ignore-certificate-errors",
];

/** Bundles a page's script and serves it, with and without TLS, to a browser. */
export async function startBrowser(entry) {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    format: "iife",
    platform: "browser",
    write: false,
  });
  const answer = (request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? bundle.outputFiles[0].text : "<!doctype html><script src=/page.js></script>");
  };
  const pair = { cert: readFileSync(TLS.TLS_CERT), key: readFileSync(TLS.TLS_KEY) };
  const servers = [createServer(answer), createSecureServer(pair, answer)];
  const [port, securePort] = await Promise.all(servers.map(listen));
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
  return {
    origin: `http://127.0.0.1:${port}`,
    secureOrigin: `https://127.0.0.1:${securePort}`,
    /** The same server under another name is another origin. */
    otherOrigin: `http://localhost:${port}`,
    open: async (origin) => {
      const page = await browser.newPage();
      await page.goto(origin);
      return page;
    },
    close: async () => {
      await browser.close();
      servers.forEach((server) => server.close());
    },
  };
}

function listen(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}
