"""Relay keys and sealed tokens in place of an OpenAI key, in openai-python."""

import asyncio
import json
import subprocess
import urllib.request

import openai
import pytest

from pair import BINARIES, SERVER_KEY, Pair

MODEL = "gpt-6-luna"
REALTIME_MODEL = "gpt-realtime-2.1"
HELLO = [{"role": "user", "content": "Hello there"}]
ANSWER = "You said: Hello there"


class Keys(Pair):
    """A relay whose keys are made by the command line; it has no accounts."""

    def __init__(self, folder):
        self.environment = {"DATABASE_URL": f"sqlite:///{folder}/keys.db", "DATABASE_TIMEOUT": "60"}
        super().__init__(folder, self.environment)

    def make(self, *words):
        command = [BINARIES / "openai-relay", "key", "create", "sdk", "--json", *words]
        made = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=True)
        return json.loads(made.stdout)["key"]

    def seal(self, key, **wish):
        request = urllib.request.Request(f"{self.origin}/api/v1/tokens", data=json.dumps(wish).encode())
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["value"]

    def client(self, key, **more):
        return openai.OpenAI(base_url=self.base_url, api_key=key, max_retries=0, **more)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    keys = Keys(tmp_path_factory.mktemp("keys"))
    yield keys
    keys.stop()


def assert_nothing_leaked(keys, *tokens):
    for received in keys.received():
        text = json.dumps(received)
        assert "rk_" not in text and "ek_relay_" not in text, text
        assert dict(received["headers"])["authorization"] == f"Bearer {SERVER_KEY}"
    for token in tokens:
        assert token not in "".join(keys.log)


def test_a_key_and_a_sealed_token_are_the_sdks_key_on_every_family(keys):
    key = keys.make()
    for credential in (key, keys.seal(key)):
        keys.reset()
        with keys.client(credential) as client:
            done = client.chat.completions.create(model=MODEL, messages=HELLO)
            assert done.choices[0].message.content == ANSWER
            chunks = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
            assert client.responses.create(model=MODEL, input="Hello there").output_text == ANSWER
            assert len(client.embeddings.create(model="text-embedding-3-small", input="x").data) == 1
            assert client.models.list().data
            speech = client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Hello")
            assert speech.content
            heard = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"sound"))
            assert heard.text is not None
            stored = client.files.create(file=("x.jsonl", b"{}"), purpose="batch")
            assert client.files.retrieve(stored.id).id == stored.id
        assert_nothing_leaked(keys, credential)


def test_what_a_rule_does_not_allow_is_a_permission_denied_error(keys):
    key = keys.make("--families", "chat", "--models", MODEL)
    for credential in (key, keys.seal(key)):
        keys.reset()
        with keys.client(credential) as client:
            with pytest.raises(openai.PermissionDeniedError, match="`families`"):
                client.embeddings.create(model=MODEL, input="x")
            with pytest.raises(openai.PermissionDeniedError, match="`models`"):
                client.chat.completions.create(model="gpt-6", messages=HELLO)
            assert keys.received() == []
            done = client.chat.completions.create(model=MODEL, messages=HELLO)
            assert done.choices[0].message.content == ANSWER
    other = key[:3] + ("b" if key[3] == "a" else "a") + key[4:]
    with keys.client(other) as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_a_secret_is_minted_as_a_sealed_token_and_opens_a_session(keys):
    key = keys.make()
    with keys.client(key) as client:
        session = {"type": "realtime", "model": REALTIME_MODEL}
        minted = client.realtime.client_secrets.create(session=session)
    assert minted.value.startswith("ek_relay_")
    assert minted.session.model == REALTIME_MODEL

    async def converse(credential):
        async with openai.AsyncOpenAI(base_url=keys.base_url, api_key=credential) as client:
            async with client.realtime.connect(model=REALTIME_MODEL) as connection:
                return (await connection.recv()).type

    for credential in (key, minted.value):
        keys.reset()
        assert asyncio.run(converse(credential)) == "session.created"
        text = json.dumps(keys.sockets()[0]["request"])
        assert "rk_" not in text and "ek_relay_" not in text, text
    assert minted.value not in "".join(keys.log)
