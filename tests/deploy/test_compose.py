"""The compose files: valid, hardened, with each origin's port, and with variables that the relay takes."""

import re
import shutil
import subprocess

import pytest
import yaml

from conftest import run
from fronts import DEPLOY, program
from pair import BINARIES

COMPOSE = DEPLOY / "compose"
# Folder, service, what it publishes, the port inside.
ORIGINS = [
    ("a-webrtc", "openai-relay", "8080:8080"),
    ("b-realtime", "openai-realtime-relay", "8080:8080"),
    ("c-accounts", "openai-relay", "8000:8000"),
    ("d-browser", "voice-proxy", "8080:8080"),
    ("e-transparent", "openai-relay", "127.0.0.1:3001:3001"),
]
KEY = "sk-a-key-for-the-tests-0123456789"


def resolved(folder, tmp_path):
    """What docker-compose makes of the file with its example's variables."""
    copy = tmp_path / "deploy" / "compose" / folder
    shutil.copytree(COMPOSE / folder, copy)
    shutil.copy(copy / ".env.example", copy / ".env")
    text = run(program("docker-compose"), "config", cwd=copy)
    return yaml.safe_load(text), copy


def published(ports):
    found = []
    for port in ports:
        if isinstance(port, dict):
            port = f"{port.get('host_ip', '')}:{port['published']}:{port['target']}".lstrip(":")
        found.append(str(port).removesuffix("/tcp"))
    return found


@pytest.mark.parametrize("folder, name, port", ORIGINS)
def test_each_origin_has_its_port_and_a_hardened_container(folder, name, port, tmp_path):
    config, _ = resolved(folder, tmp_path)
    service = config["services"][name]
    assert published(service["ports"]) == [port]
    assert str(service["environment"]["PORT"]) == port.rsplit(":", 1)[1]
    hardened(service)
    assert service["healthcheck"]["test"] == ["CMD", "/openai-relay", "healthcheck"]


def hardened(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # Docker kills after 10 s unless told; a drain takes up to DRAIN_TIMEOUT.
    assert service["stop_grace_period"] in ("40s", "60s", "1m0s", "1m")


@pytest.mark.parametrize("folder, name, port", ORIGINS)
def test_the_relay_starts_with_what_the_container_gets(folder, name, port, tmp_path, relays):
    config, copy = resolved(folder, tmp_path)
    variables = {
        **dotenv(copy / ".env"),
        **{key: str(value) for key, value in config["services"][name]["environment"].items()},
        "PORT": "0",
    }
    if "OPENAI_API_KEY" in variables:
        variables["OPENAI_API_KEY"] = KEY
    relay = relays(variables)
    errors = [entry for entry in relay.log if entry.get("level") == "ERROR"]
    assert not errors, errors


def test_another_port_in_env_moves_the_published_one_along(tmp_path):
    copy = tmp_path / "deploy" / "compose" / "e-transparent"
    shutil.copytree(COMPOSE / "e-transparent", copy)
    (copy / ".env").write_text("OPENAI_API_KEY=x\nRELAY_TOKEN=y\nPORT=9001\n")
    service = yaml.safe_load(run(program("docker-compose"), "config", cwd=copy))["services"]["openai-relay"]
    assert published(service["ports"]) == ["127.0.0.1:9001:9001"]


def test_production_runs_three_relays_that_drain_before_they_are_killed(tmp_path, relays):
    config, _ = resolved("production", tmp_path)
    services = config["services"]
    assert set(services) == {"caddy", "haproxy", "relay", "redis", "postgres"}
    relay = services["relay"]
    assert relay["deploy"]["replicas"] == 3
    assert relay["deploy"]["update_config"]["order"] == "start-first"
    hardened(relay)
    assert [name for name in services if services[name].get("ports")] == ["caddy"]
    environment = {key: str(value) for key, value in relay["environment"].items()}
    assert environment["DATABASE_URL"].startswith("postgresql://relay:")
    # Nobody answers at that name here: it starts all the same, and says so.
    environment |= {"PORT": "0", "METRICS_ADDRESS": "127.0.0.1:0", "OPENAI_API_KEY": KEY}
    environment["DATABASE_URL"] = "postgresql://relay:x@127.0.0.1:9/relay"
    running = relays(environment)
    running.line(lambda entry: "database does not answer yet" in entry.get("message", ""))


def test_production_says_what_is_missing(tmp_path):
    copy = tmp_path / "production"
    shutil.copytree(COMPOSE / "production", copy)
    (copy / ".env").write_text("")
    done = subprocess.run(
        [program("docker-compose"), "config", "-q"], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert re.search(r"RELAY_DOMAIN|OPENAI_API_KEY|POSTGRES_PASSWORD", done.stdout + done.stderr)


def dotenv(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_each_example_is_a_configuration_that_the_relay_takes(tmp_path):
    for folder, _, _ in ORIGINS:
        shutil.copy(COMPOSE / folder / ".env.example", tmp_path / ".env")
        run(BINARIES / "openai-relay", "config", cwd=tmp_path, env={})
