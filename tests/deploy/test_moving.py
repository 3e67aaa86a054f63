"""docs/moving: each command that a page shows runs here, with the page's own `.env`, against a stand-in for OpenAI."""

import json
import os
import re
import subprocess
import threading
import urllib.request

import pytest

import fronts
from fronts import ROOT
from pair import BINARIES, SERVER_KEY, SOON

PAGES = sorted((ROOT / "docs" / "moving").glob("*.md"))
# Where each page says that the relay listens.
PORTS = {"a": 8080, "b": 8080, "c": 8000, "d": 8080, "e": 3001}
NODE = ROOT / "tests" / "sdk" / "node" / "node_modules" / ".bin"


def blocks(page, mark):
    """Blocks behind a comment with this mark, each with what its output must hold."""
    return re.findall(rf"<!-- {mark}(?:: (.*?))? -->\n```sh\n(.*?)```", page.read_text(), re.S)


def ephemeral(fake):
    """What a back end mints for a page."""
    ask = urllib.request.Request(
        f"{fake.base_url}/realtime/client_secrets",
        data=b"{}",
        headers={"Authorization": f"Bearer {SERVER_KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(ask) as answer:
        return json.load(answer)["value"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_works_as_it_stands(page, fake, relays, tmp_path):
    [(_, env)] = blocks(page, "env")
    commands = blocks(page, "run")
    assert commands
    port = PORTS[page.stem]
    free = fronts.free_port()
    (tmp_path / "home").mkdir()
    # The page's own file, whatever it is called; the environment has what a test must change.
    text = re.sub(r"^OPENAI_BASE_URL=.*\n|^PORT=.*\n", "", env, flags=re.M)
    environment = {"OPENAI_BASE_URL": fake.base_url, "PORT": str(free), "LOG_FORMAT": "json"}
    if "OPENAI_API_KEY" in env:
        environment["OPENAI_API_KEY"] = SERVER_KEY
    (tmp_path / ".env").write_text(text)
    relay = relays(environment, command=["sh", "-c", f'cd "{tmp_path}" && exec "{BINARIES}/openai-relay" serve'])
    token = re.search(r"^RELAY_TOKEN=(\w+)$", env, re.M)
    replacements = [(f":{port}", f":{free}"), ("YOUR_EPHEMERAL_TOKEN", ephemeral(fake))]
    if token:
        replacements.append(("<RELAY_TOKEN>", token[1]))
    shell = {
        "cwd": tmp_path / "home",
        "env": {"PATH": f"{NODE}:{os.environ['PATH']}", "HOME": str(tmp_path / "home")},
        "text": True,
    }
    for wanted, script in commands:
        done = subprocess.run(
            bash(script, replacements), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, **shell
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}\n{relay.log[-3:]}"
        assert wanted in done.stdout, f"{script}\nprinted\n{done.stdout}\n{done.stderr}"
    for wanted, script in blocks(page, "talk"):
        assert hears(wanted, bash(script, replacements), shell), f"{script}\n{relay.log[-3:]}"


def bash(script, replacements):
    for old, new in replacements:
        script = script.replace(old, new)
    return ["bash", "-euo", "pipefail", "-c", script]


def hears(wanted, command, shell):
    """Whether a program that goes on for as long as somebody types prints it."""
    talking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **shell)
    end = threading.Timer(SOON, talking.kill)
    end.start()
    try:
        return any(wanted in line for line in talking.stdout)
    finally:
        end.cancel()
        talking.kill()
        talking.communicate()


def test_every_page_says_what_stays_what_changed_and_what_to_look_at():
    assert [page.stem for page in PAGES] == list(PORTS)
    for page in PAGES:
        text = page.read_text()
        for part in ("## Keep your `.env", "stay as they are|stays as it is", "## What changed", "## When something is wrong"):
            assert re.search(part, text), f"{page.name}: {part}"


def test_what_the_pages_set_are_variables_that_there_are():
    table = (ROOT / "docs" / "configuration.md").read_text()
    foreign = {"VITE_OPENAI_RELAY_URL", "NEXT_PUBLIC_WS_PROXY_URL", "TOKEN", "RELAY_DOMAIN", "RELAY_ADDRESS"}
    for page in PAGES:
        for name in re.findall(r"^(?:export )?([A-Z][A-Z_]+)=", page.read_text(), re.M):
            assert f"`{name}`" in table or name in foreign, f"{page.name}: {name}"
