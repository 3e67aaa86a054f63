"""systemd, logrotate, PM2 and the install script."""

import os
import re
import shutil
import signal
import stat
import subprocess
import urllib.request

import pytest

import fronts
from conftest import needs_root, run
from fronts import DEPLOY, ENV_FILES, ROOT, program
from pair import BINARIES, RELAY_TOKEN, SERVER_KEY, eventually

UNIT = DEPLOY / "systemd" / "openai-relay.service"


def test_the_unit_is_valid_and_exposed_no_more_than_2_0(tmp_path):
    unit = tmp_path / "openai-relay.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/openai-relay", str(BINARIES / "openai-relay")))
    run(program("systemd-analyze"), "verify", unit)
    text = run(program("systemd-analyze"), "security", "--offline=true", "--threshold=20", UNIT)
    score = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", text)[1])
    assert score <= 2.0
    print(f"exposure {score}")


def test_the_drop_in_for_credentials_fits_the_unit(tmp_path):
    unit = tmp_path / "openai-relay.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/openai-relay", str(BINARIES / "openai-relay")))
    folder = tmp_path / "openai-relay.service.d"
    folder.mkdir()
    shutil.copy(DEPLOY / "systemd" / "credentials.conf", folder)
    run(program("systemd-analyze"), "verify", unit)


def test_secrets_from_credential_files_open_the_relay(fake, relays, tmp_path):
    # As the drop-in has them: NAME_FILE, a path each.
    for name, secret in (("openai_api_key", SERVER_KEY), ("relay_token", RELAY_TOKEN)):
        (tmp_path / name).write_text(secret + "\n")
    drop_in = (DEPLOY / "systemd" / "credentials.conf").read_text()
    words = re.search(r"^Environment=(.*)$", drop_in, re.M)[1].split()
    variables = dict(word.split("=") for word in words)
    variables = {name: path.replace("%d", str(tmp_path)) for name, path in variables.items()}
    relay = relays({"OPENAI_BASE_URL": fake.base_url, **variables})
    assert status(f"{relay.origin}/v1/models", RELAY_TOKEN) == 200


def status(url, token=None):
    ask = urllib.request.Request(url)
    if token:
        ask.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(ask) as answer:
        return answer.status


@needs_root
def test_rotation_moves_the_log_away_and_loses_no_line(fake, relays, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    variables = {
        "OPENAI_API_KEY": SERVER_KEY,
        "OPENAI_BASE_URL": fake.base_url,
        "RELAY_TOKEN": RELAY_TOKEN,
        "LOG_FILE": str(logs / "relay.log"),
        "PORT": str(fronts.free_port()),
    }
    relay = relays(variables, wait=False)
    origin = f"http://127.0.0.1:{variables['PORT']}"
    eventually(lambda: is_up(origin))
    rules = fronts.replaced(
        (DEPLOY / "logrotate" / "openai-relay").read_text(),
        ("/var/log/openai-relay/*.log", f"{logs}/*.log"),
        ("systemctl kill --signal=HUP openai-relay.service", f"kill -HUP {relay.process.pid}"),
    )
    config = tmp_path / "logrotate.conf"
    config.write_text(rules)
    config.chmod(0o644)

    def asked(name):
        log = logs / name
        return log.read_text().count("GET /v1/models 200") if log.exists() else 0

    assert status(f"{origin}/v1/models", RELAY_TOKEN) == 200
    eventually(lambda: asked("relay.log") == 1)
    run(program("logrotate"), "--force", "--state", tmp_path / "state", config)
    made = 1

    def writes_anew():
        nonlocal made
        assert status(f"{origin}/v1/models", RELAY_TOKEN) == 200
        made += 1
        return asked("relay.log") > 0

    # The signal is heard within moments; what came before it is in the old file.
    eventually(writes_anew)
    eventually(lambda: asked("relay.log") + asked("relay.log.1") == made)


def is_up(origin):
    try:
        return status(f"{origin}/health") == 200
    except OSError:
        return False


def install(prefix, *arguments):
    return run(DEPLOY / "vps" / "install.sh", "--prefix", prefix, "--binary", BINARIES / "openai-relay", *arguments)


def test_the_install_script_lays_everything_out_and_can_be_run_again(tmp_path):
    first = install(tmp_path)
    binary = tmp_path / "usr/local/bin/openai-relay"
    config = tmp_path / "etc/openai-relay/env"
    assert os.access(binary, os.X_OK)
    assert (tmp_path / "etc/systemd/system/openai-relay.service").read_text() == UNIT.read_text()
    assert (tmp_path / "etc/logrotate.d/openai-relay").exists()
    assert os.access(tmp_path / "usr/local/sbin/openai-relay-ctl", os.X_OK)
    assert f"put your key behind OPENAI_API_KEY= in {config}" in first
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    token = re.search(r"^RELAY_TOKEN=([0-9a-f]{64})$", config.read_text(), re.M)
    assert token and token[1] not in first, "the token stays in its file"
    config.write_text(config.read_text().replace("OPENAI_API_KEY=", f"OPENAI_API_KEY={SERVER_KEY}"))
    mine = config.read_text()
    again = install(tmp_path)
    assert "wrote" not in again, again
    binary.write_text("old")
    assert f"wrote {binary}" in install(tmp_path)
    assert config.read_text() == mine
    assert not list(tmp_path.rglob("*.new"))


def test_what_was_installed_serves_with_the_token_that_was_made(fake, relays, tmp_path):
    install(tmp_path)
    lines = (tmp_path / "etc/openai-relay/env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    variables |= {"OPENAI_API_KEY": SERVER_KEY, "OPENAI_BASE_URL": fake.base_url}
    relay = relays(variables, command=[tmp_path / "usr/local/bin/openai-relay", "serve"])
    assert status(f"{relay.origin}/v1/models", variables["RELAY_TOKEN"]) == 200


@pytest.mark.parametrize("text", ENV_FILES.values(), ids=ENV_FILES.keys())
def test_your_env_is_taken_over_as_it_is_and_asks_for_no_key_that_it_does_not_need(text, tmp_path):
    mine = tmp_path / "mine.env"
    mine.write_text(text)
    said = install(tmp_path / "root", "--env", mine)
    assert (tmp_path / "root/etc/openai-relay/env").read_text() == text
    assert "put your key" not in said and "try it: curl" in said
    assert ("HOST=127.0.0.1" in said) == ("HOST=" not in text)


def refused_env(folder, env):
    script = [DEPLOY / "vps" / "install.sh", "--prefix", folder / "root", "--env", env]
    done = subprocess.run([*script, "--binary", BINARIES / "openai-relay"], capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout, done.stdout
    assert not (folder / "root").exists(), "nothing is written before all is known to be well"
    return done.stderr


@pytest.mark.parametrize(
    "line, words",
    [
        ("RELAY_TOKEN=S3cret   # mine", "line 3 (RELAY_TOKEN): put the comment on a line of its own"),
        ('RELAY_TOKEN="S3cret" # mine', "line 3 (RELAY_TOKEN): put the comment on a line of its own"),
        ("RELAY_TOKEN='S3cret' # mine", "line 3 (RELAY_TOKEN): put the comment on a line of its own"),
        ("export RELAY_TOKEN=S3cret", "line 3: leave `export` out"),
        ("  RELAY_TOKEN = S3cret", "line 3 (RELAY_TOKEN): leave out the space"),
        ("RELAY_TOKEN= S3cret", "line 3 (RELAY_TOKEN): leave out the space"),
        ("RELAY_TOKEN=S3cret\\x", "line 3 (RELAY_TOKEN): put the value between single quotes"),
        ('RELAY_TOKEN="S3cret\\n"', "line 3 (RELAY_TOKEN): put the value between single quotes"),
        ('RELAY_TOKEN="S3cret', "line 3 (RELAY_TOKEN): put the value between single quotes"),
        ('ALLOWED_ORIGINS="https://S3cret","https://b"', "line 3 (ALLOWED_ORIGINS): put the value between single quotes"),
        ("RELAY_TOKEN: S3cret", "line 3: write it as NAME=value"),
    ],
)
def test_an_env_that_systemd_would_read_differently_is_not_taken(line, words, tmp_path):
    mine = tmp_path / "mine.env"
    mine.write_text(f"# mine\nOPENAI_API_KEY=sk-x\n{line}\nDEBUG=false\n")
    said = refused_env(tmp_path, mine)
    assert words in said and said.count("\n  line ") == 1, said
    assert "S3cret" not in said


def test_an_env_that_is_not_there_is_said_so_before_anything_is_written(tmp_path):
    assert "there is no such file" in refused_env(tmp_path, tmp_path / "nonexistent")


@pytest.mark.parametrize("token", ["", "RELAY_TOKEN='0123456789abcdef0123456789abcdef'\n"])
def test_the_line_to_try_works_as_it_is_printed(token, fake, relays, tmp_path):
    mine = tmp_path / "mine.env"
    port = fronts.free_port()
    mine.write_text(f"OPENAI_API_KEY={SERVER_KEY}\nALLOWED_ORIGINS=https://a.example\n{token}PORT='{port}'\n")
    said = install(tmp_path / "root", "--env", mine)
    [line] = re.findall("^try it: (curl .*)$", said, re.M)
    relays({"OPENAI_BASE_URL": fake.base_url, "OPENAI_API_KEY": SERVER_KEY, "PORT": str(port), "RELAY_TOKEN": token[13:-2]})
    answer = run("sh", "-euc", f"{line} -fsS")
    assert ('"object":"list"' if token else '"status":"healthy"') in answer


# What systemctl and systemd-run would be asked, in their place.
STAND_INS = {
    "systemctl": '#!/bin/sh\n[ "$*" = "cat openai-relay.service" ] && cat "$HOME/unit"\n',
    "systemd-run": '#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n',
}


def test_commands_run_as_the_service_does(tmp_path):
    for name, text in STAND_INS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    credentials = (DEPLOY / "systemd" / "credentials.conf").read_text()
    (tmp_path / "unit").write_text(UNIT.read_text() + credentials + "Environment=LOG_LEVEL=warn\n")
    done = subprocess.run(
        [DEPLOY / "vps" / "openai-relay-ctl", "user", "add", "two words"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}, capture_output=True, text=True,
    )
    assert done.returncode == 7, "the command's own exit code"
    asked = done.stdout.splitlines()
    assert asked[-4:] == ["/usr/local/bin/openai-relay", "user", "add", "two words"]
    [unit] = [word.removeprefix("--unit=") for word in asked if word.startswith("--unit=")]
    properties = [word.removeprefix("--property=") for word in asked if word.startswith("--property=")]
    for wanted in ("User=openai-relay", "WorkingDirectory=/var/lib/openai-relay"):
        assert wanted in properties
    for name in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "LogsDirectory", "UMask", "EnvironmentFile"):
        assert re.search(rf"^{name}=.*$", UNIT.read_text(), re.M)[0] in properties
    assert "LoadCredential=relay_token:/etc/openai-relay/relay_token" in properties
    variables = [one for one in properties if one.startswith("Environment=")]
    secrets = f"/run/credentials/{unit}.service"
    assert variables == [
        f"Environment=OPENAI_API_KEY_FILE={secrets}/openai_api_key RELAY_TOKEN_FILE={secrets}/relay_token",
        "Environment=LOG_LEVEL=warn",
    ], "the last one counts, as in the unit"
    assert not [one for one in properties if "%" in one]


def test_the_scripts_pass_shellcheck():
    scripts = [DEPLOY / "vps" / "install.sh", DEPLOY / "vps" / "openai-relay-ctl", ROOT / "scripts" / "image", ROOT / "scripts" / "release", ROOT / "scripts" / "lib" / "file-set"]
    run(program("shellcheck"), "-x", *scripts)


PM2 = ROOT / "tests" / "sdk" / "node" / "node_modules" / ".bin" / "pm2"


@pytest.fixture
def pm2(tmp_path):
    """PM2 with a home of its own; its daemon ends with the test."""
    environment = {**os.environ, "PM2_HOME": str(tmp_path / "pm2"), "PM2_DISCRETE_MODE": "1"}
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        environment.pop(name, None)

    def call(*arguments, **more):
        return run(PM2, *arguments, cwd=tmp_path, env={**environment, **more})

    yield call
    subprocess.run([PM2, "kill"], cwd=tmp_path, env=environment, capture_output=True, timeout=60)


def test_pm2_runs_it_under_the_name_of_the_browser_proxy(pm2, fake, tmp_path):
    page = (ROOT / "docs" / "moving" / "d.md").read_text()
    [script] = re.findall(r"<!-- pm2 -->\n```sh\n(.*?)```", page, re.S)
    port = fronts.free_port()
    (tmp_path / ".env.local").write_text(f"OPENAI_API_KEY={SERVER_KEY}\nPORT={port}\n")
    said = ""
    for line in script.splitlines():
        words = line.replace("/usr/local/bin/openai-relay", str(BINARIES / "openai-relay")).split()
        assert words[0] == "pm2"
        said = pm2(*words[1:], OPENAI_BASE_URL=fake.base_url)
        eventually(lambda: is_up(f"http://127.0.0.1:{port}"))
    assert "voice-proxy" in said


def test_pm2_runs_the_binary_restarts_it_and_stops_it_gently(pm2, fake, tmp_path):
    port = fronts.free_port()
    shutil.copy(DEPLOY / "pm2" / "ecosystem.config.js", tmp_path)
    (tmp_path / ".env").write_text(
        f"OPENAI_API_KEY={SERVER_KEY}\nOPENAI_BASE_URL={fake.base_url}\nRELAY_TOKEN={RELAY_TOKEN}\nPORT={port}\nHOST=127.0.0.1\n"
    )
    pm2("start", "ecosystem.config.js", OPENAI_RELAY_BIN=str(BINARIES / "openai-relay"))
    origin = f"http://127.0.0.1:{port}"
    eventually(lambda: is_up(origin))
    assert "online" in pm2("describe", "openai-relay")
    first = int(pm2("pid", "openai-relay"))
    pm2("restart", "openai-relay")
    eventually(lambda: is_up(origin))
    second = int(pm2("pid", "openai-relay"))
    assert second != first
    os.kill(second, signal.SIGKILL)
    eventually(lambda: int(pm2("pid", "openai-relay") or 0) not in (0, second) and is_up(origin))
    pm2("stop", "openai-relay")
    assert not is_up(origin)
    assert "drained" in (tmp_path / "logs" / "error.log").read_text()
