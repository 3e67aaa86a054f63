"""What the tests of the files for moving in share: they run the very files that users copy."""

import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "sdk" / "python"))

from pair import BINARIES, SERVER_KEY, SOON


class Fake:
    """A stand-in for OpenAI, as a process."""

    def __init__(self):
        self.process = subprocess.Popen(
            [BINARIES / "fake-openai", "--key", SERVER_KEY], stdout=subprocess.PIPE, text=True
        )
        self.base_url = json.loads(self.process.stdout.readline())["base_url"]

    def stop(self):
        self.process.kill()
        self.process.wait(SOON)


class Relay:
    """A relay with nothing but these variables, in a folder of its own."""

    def __init__(self, folder, variables, command=(BINARIES / "openai-relay", "serve"), wait=True):
        self.log = []
        self.origin = None
        self._lines = threading.Condition()
        self.process = subprocess.Popen(
            list(command),
            env={"HOST": "127.0.0.1", "PORT": "0", "LOG_FORMAT": "json", **variables},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        if wait:
            listening = self.line(lambda entry: entry.get("message") == "listening")
            port = listening["address"].rsplit(":", 1)[1]
            self.origin = f"http://127.0.0.1:{port}"

    def _read(self):
        for line in self.process.stderr:
            with self._lines:
                self.log.append(json.loads(line) if line.startswith("{") else {"text": line})
                self._lines.notify_all()

    def line(self, wanted):
        """Waits for a line of the log."""
        found = []

        def look():
            found[:] = [entry for entry in self.log if wanted(entry)]
            return bool(found)

        with self._lines:
            assert self._lines.wait_for(look, SOON), self.log
        return found[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


def run(*command, **options):
    """Runs a command that must succeed, and gives what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="this needs root")


@pytest.fixture
def fake():
    fake = Fake()
    yield fake
    fake.stop()


@pytest.fixture
def relays(tmp_path):
    """Starts relays, and stops them at the end."""
    started = []

    def start(variables, **options):
        folder = tmp_path / f"relay{len(started)}"
        folder.mkdir()
        started.append(Relay(folder, variables, **options))
        return started[-1]

    yield start
    for relay in started:
        relay.process.kill()
        relay.process.wait(SOON)
