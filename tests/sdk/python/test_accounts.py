"""Accounts: openai-python with an access token in place of a key, and what schemathesis makes of the description."""

import json
import pathlib
import re
import subprocess
import sys
import urllib.request

import openai
import pytest

from pair import BINARIES, ROOT, SERVER_KEY, Pair

MODEL = "gpt-6-luna"
REALTIME_MODEL = "gpt-realtime-2.1"
HELLO = [{"role": "user", "content": "Hello there"}]
ANSWER = "You said: Hello there"
PASSWORD = "correct horse battery"
SECRET_KEY = "secret-key-for-the-sdk-tests-0123456789"


class People(Pair):
    """A relay with accounts."""

    def __init__(self, folder):
        self.folder = folder
        super().__init__(folder, {"SECRET_KEY": SECRET_KEY, "RATE_LIMIT_REQUESTS": "0", "DATABASE_TIMEOUT": "60"})

    def call(self, path, body=None, token=None, method="POST"):
        request = urllib.request.Request(f"{self.origin}/api/v1/{path}", method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def log_in(self, name):
        return self.call("auth/login", {"username": name, "password": PASSWORD})

    def add(self, name, *more):
        """By the command line, beside the running relay."""
        environment = {"SECRET_KEY": SECRET_KEY}
        command = [BINARIES / "openai-relay", "user", "add", name, f"{name}@example.com", *more]
        subprocess.run(command, env=environment, cwd=self.folder, input=f"{PASSWORD}\n", text=True, check=True)

    def client(self, token, **more):
        return openai.OpenAI(base_url=self.base_url, api_key=token, **more)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    people = People(tmp_path_factory.mktemp("people"))
    people.call("auth/register", {"username": "alice", "email": "alice@example.com", "password": PASSWORD})
    people.add("root-admin", "--admin")
    yield people
    people.stop()


def test_an_access_token_is_the_sdks_key(people):
    token = people.log_in("alice")["access_token"]
    with people.client(token) as client:
        done = client.chat.completions.create(model=MODEL, messages=HELLO)
        assert done.choices[0].message.content == ANSWER
        chunks = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
        assert client.responses.create(model=MODEL, input="Hello there").output_text == ANSWER
        events = list(client.responses.create(model=MODEL, input="Hello there", stream=True))
        assert events[-1].type == "response.completed"
        assert len(client.embeddings.create(model="text-embedding-3-small", input="x").data) == 1
    for received in people.received():
        headers = dict(received["headers"])
        assert headers["authorization"] == f"Bearer {SERVER_KEY}"
    assert token not in "".join(people.log)


def test_an_access_token_opens_a_realtime_session(people):
    token = people.log_in("alice")["access_token"]
    with people.client(token) as client, client.realtime.connect(model=REALTIME_MODEL) as connection:
        assert connection.recv().type == "session.created"
        content = [{"type": "input_text", "text": "Hello there"}]
        connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        connection.response.create(response={"output_modalities": ["text"]})
        text = ""
        for event in connection:
            text += event.delta if event.type == "response.output_text.delta" else ""
            if event.type == "response.done":
                break
        assert text == ANSWER


def test_a_login_that_was_ended_is_an_authentication_error(people):
    token = people.log_in("alice")["access_token"]
    people.call("auth/logout", token=token)
    with people.client(token, max_retries=0) as client, pytest.raises(openai.AuthenticationError) as error:
        client.models.list()
    assert error.value.code == "invalid_api_key"


def test_a_pair_of_tokens_is_refreshed_and_the_old_refresh_token_keeps_its_successor(people):
    pair = people.log_in("alice")
    fresh = people.call("auth/refresh", {"refresh_token": pair["refresh_token"]})
    again = people.call("auth/refresh", {"refresh_token": pair["refresh_token"]})
    assert again["refresh_token"] == fresh["refresh_token"] != pair["refresh_token"]
    with people.client(fresh["access_token"]) as client:
        assert client.models.list().data


def test_an_sdk_that_points_at_the_chat_routes_works_too(people):
    """Old clients of the accounts API are often the SDK with another base URL."""
    token = people.log_in("alice")["access_token"]
    with openai.OpenAI(base_url=f"{people.origin}/api/v1", api_key=token) as client:
        done = client.chat.completions.create(model=MODEL, messages=HELLO)
        assert done.choices[0].message.content == ANSWER
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-0", messages=HELLO)


# They end the login that the other routes are tested by.
ENDING = ["/api/v1/auth/logout", "/api/v1/admin/users/{id}/password"]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def generated(people, *which):
    """How many generated requests to these routes passed; all of them, or the test fails."""
    admin = people.log_in("root-admin")["access_token"]
    command = [
        pathlib.Path(sys.executable).with_name("schemathesis"),
        "run",
        f"{people.origin}/openapi.json",
        f"--checks={CHECKS}",
        "--max-examples=100",
        "--seed=1",
        "--suppress-health-check=all",
        "--no-color",
        f"--header=Authorization: Bearer {admin}",
        *which,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=people.folder, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return int(re.search(r"(\d+) generated, \1 passed", done.stdout)[1])


def test_schemathesis_finds_no_server_error_and_no_answer_that_is_not_described(people):
    """P27: generated requests to every route that is described, by an admin."""
    count = generated(people, *[f"--exclude-path={path}" for path in ENDING])
    count += generated(people, *[f"--include-path={path}" for path in ENDING])
    assert count > 1000
    folder = ROOT / "target" / "trust"
    folder.mkdir(exist_ok=True)
    measured = f"schemathesis: {count} generated requests to every described route: 0 5xx, 0 answers that are not described"
    row = {"promise": "P27", "measured": measured, "command": "scripts/test sdk"}
    (folder / "P27-scripts-test sdk.json").write_text(json.dumps(row))
