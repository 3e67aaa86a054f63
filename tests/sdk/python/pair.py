"""A stand-in upstream and a relay in front of it, as processes."""

import json
import pathlib
import subprocess
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARIES = ROOT / "target" / "debug"
SERVER_KEY = "sk-server-key-canary-5b1d77"
RELAY_TOKEN = "relay-token-for-the-sdk-tests-0123456789"
SOON = 120.0


class Pair:
    """The two processes, and what they know."""

    def __init__(self, folder, extra=None):
        self.log = []
        self.fake = subprocess.Popen(
            [BINARIES / "fake-openai", "--key", SERVER_KEY], stdout=subprocess.PIPE, text=True
        )
        self.upstream = json.loads(self.fake.stdout.readline())["base_url"]
        self.environment = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "LOG_FORMAT": "json",
            "OPENAI_API_KEY": SERVER_KEY,
            "OPENAI_BASE_URL": self.upstream,
            "RELAY_TOKEN": RELAY_TOKEN,
            **(extra or {}),
        }
        self.others = []
        self.relay, self.origin = self._launch(folder)
        self.base_url = f"{self.origin}/v1"

    def another(self, folder):
        """One more relay in front of the same upstream; its origin."""
        relay, origin = self._launch(folder)
        self.others.append(relay)
        return origin

    def _launch(self, folder):
        relay = subprocess.Popen(
            [BINARIES / "openai-relay", "serve"],
            env=self.environment,
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        listening, found = threading.Event(), []

        def read():
            for line in relay.stderr:
                self.log.append(line)
                entry = json.loads(line)
                if entry.get("message") == "listening":
                    found.append(f"http://{entry['address']}")
                    listening.set()

        threading.Thread(target=read, daemon=True).start()
        assert listening.wait(SOON), self.log
        return relay, found[0]

    def ask(self, path):
        """A control route of the stand-in."""
        root = self.upstream.removesuffix("/v1")
        with urllib.request.urlopen(f"{root}/__fake/{path}") as answer:
            return json.load(answer)

    def received(self):
        return self.ask("received")

    def sockets(self):
        return self.ask("sockets")

    def reset(self):
        root = self.upstream.removesuffix("/v1")
        urllib.request.urlopen(urllib.request.Request(f"{root}/__fake/reset", method="POST"))

    def stop(self):
        for process in (self.relay, *self.others, self.fake):
            process.terminate()
            process.wait(SOON)


def eventually(check):
    """Waits until something is true."""
    deadline = time.monotonic() + SOON
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
