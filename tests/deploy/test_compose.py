"""The compose files: valid, hardened, with each origin's port, and with variables that the relay takes."""

import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml

from conftest import run
from fronts import DEPLOY, ENV_FILES, ROOT, filled, program
from pair import BINARIES

COMPOSE = DEPLOY / "compose"
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
# From the first cells of its tables: each variable and its other names.
NAMES = [name for cell in re.findall(r"^\| (`[A-Z_`, ]+) \|", CONFIGURATION, re.M) for name in re.findall(r"\w+", cell)]
# What production sets itself, as its page says.
FIXED = {"RELAY_ENV", "HOST", "PORT", "DATABASE_URL", "REDIS_URL", "METRICS_ADDRESS", "DRAIN_DELAY", "DRAIN_TIMEOUT"}
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
    (copy / ".env").write_text(filled((copy / ".env.example").read_text()))
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


def test_production_hands_every_variable_of_env_to_the_relays(tmp_path):
    assert len(NAMES) > 50
    copy = tmp_path / "production"
    shutil.copytree(COMPOSE / "production", copy)
    given = {name: f"{name.lower()} of mine" for name in NAMES}
    lines = [f"{name}='{value}'\n" for name, value in given.items()]
    (copy / ".env").write_text("RELAY_DOMAIN=x.example\nPOSTGRES_PASSWORD=secret\n" + "".join(lines))
    relay = yaml.safe_load(run(program("docker-compose"), "config", cwd=copy))["services"]["relay"]
    mine = {name for name in NAMES if relay["environment"][name] == given[name]}
    assert set(NAMES) - mine == FIXED
    for page in (ROOT / "docs" / "moving" / "c.md", copy / ".env.example"):
        assert all(name in page.read_text() for name in FIXED), page


def test_no_message_of_a_missing_variable_is_taken_for_its_default():
    # Swarm takes `${NAME:?one - two}` for a default behind the dash.
    for file in COMPOSE.glob("*/docker-compose.yml"):
        for message in re.findall(r"\$\{\w+:\?([^}]*)\}", file.read_text()):
            assert "-" not in message, f"{file}: {message}"


@pytest.mark.skipif(not shutil.which("docker"), reason="docker's command line is not installed")
def test_swarm_reads_production_as_compose_does(tmp_path):
    config, copy = resolved("production", tmp_path)
    script = f"set -a; . ./.env; set +a; {program('docker')} stack config -c docker-compose.yml"
    swarm = yaml.safe_load(run("sh", "-euc", script, cwd=copy))
    for name, service in config["services"].items():
        assert texts(service) == texts(swarm["services"][name]), name


def texts(service):
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def settings(folder, environment):
    """Names and values in effect for a relay in this folder."""
    table = run(BINARIES / "openai-relay", "config", cwd=folder, env=environment).split("\n\n")[0]
    return [re.split(r"  +", line)[:2] for line in table.splitlines()]


@pytest.mark.parametrize("text", ENV_FILES.values(), ids=ENV_FILES.keys())
def test_a_shell_and_docker_read_each_env_as_the_relay_does(text, tmp_path):
    # What is proposed in a comment must do as well.
    text = re.sub(r"^# ([A-Z_]+=)", r"\1", text, flags=re.M)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / ".env").write_text(text)
    sourced = run("sh", "-euc", f"set -a; . '{mine}/.env'; env -0", env={})
    by_shell = dict(pair.split("=", 1) for pair in sourced.split("\0") if pair)
    for environment in (by_shell, dotenv(mine / ".env")):
        assert settings(tmp_path, environment) == settings(mine, {})


def test_accounts_are_in_production_whatever_an_earlier_env_says(tmp_path, relays):
    copy = tmp_path / "deploy" / "compose" / "c-accounts"
    shutil.copytree(COMPOSE / "c-accounts", copy)
    (copy / ".env").write_text(f"SECRET_KEY={'0123456789abcdef' * 4}\nOPENAI_API_KEY={KEY}\n")
    service = yaml.safe_load(run(program("docker-compose"), "config", cwd=copy))["services"]["openai-relay"]
    relay = relays({**service["environment"], "PORT": "0", "REDIS_URL": ""})
    for path in ("/metrics", "/api/v1/health/detailed"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{relay.origin}{path}")
        assert refused.value.code == 401, path


def test_production_says_what_is_missing(tmp_path):
    copy = tmp_path / "production"
    shutil.copytree(COMPOSE / "production", copy)
    (copy / ".env").write_text("")
    done = subprocess.run(
        [program("docker-compose"), "config", "-q"], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert re.search(r"RELAY_DOMAIN|POSTGRES_PASSWORD", done.stdout + done.stderr)


def dotenv(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_each_example_is_a_configuration_that_the_relay_takes(tmp_path):
    for folder, _, _ in ORIGINS:
        example = (COMPOSE / folder / ".env.example").read_text()
        (tmp_path / ".env").write_text(filled(example))
        run(BINARIES / "openai-relay", "config", cwd=tmp_path, env={})


@pytest.mark.parametrize("folder", ["c-accounts", "e-transparent", "production"])
def test_secrets_that_stand_in_this_repository_are_refused_in_production(folder, tmp_path):
    shutil.copy(COMPOSE / folder / ".env.example", tmp_path / ".env")
    command = [BINARIES / "openai-relay", "config"]
    refused = subprocess.run(command, cwd=tmp_path, env={"RELAY_ENV": "production"}, capture_output=True, text=True)
    assert refused.returncode == 2 and "looks like the placeholder" in refused.stderr, refused
