"""openai-python through the relay, with only base_url and the relay's token set."""

import asyncio
import hashlib
import io
import os

import httpx2
import openai
import pytest

from pair import RELAY_TOKEN, SERVER_KEY, eventually

MODEL = "gpt-6-luna"
HELLO = [{"role": "user", "content": "Hello there"}]
ANSWER = "You said: Hello there"


def script(text):
    return {"X-Fake-Script": text}


def test_a_chat_completion_comes_whole(client):
    done = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert done.choices[0].message.content == ANSWER
    assert done.usage.total_tokens > 0
    assert done._request_id.startswith("req_")


def test_a_chat_completion_streams_with_its_usage(client):
    stream = client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert chunks[-1].usage.total_tokens > 0


def test_a_tool_call_comes_through(client):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    done = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "call weather"}], tools=[tool]
    )
    assert done.choices[0].message.tool_calls[0].function.name == "weather"


def test_a_legacy_completion_comes_whole_and_streams(client):
    model = "gpt-3.5-turbo-instruct"
    assert client.completions.create(model=model, prompt="Hi").choices[0].text == "You said: Hi"
    stream = client.completions.create(model=model, prompt="Hi", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "You said: Hi"


def test_a_response_comes_whole_and_streams_in_order(client):
    done = client.responses.create(model=MODEL, input="Hello there")
    assert done.output_text == ANSWER
    assert client.responses.retrieve(done.id).id == done.id
    events = list(client.responses.create(model=MODEL, input="Hello there", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == ANSWER


def test_embeddings_and_moderations_come_through(client):
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [len(item.embedding) for item in vectors.data] == [1536, 1536]
    assert client.moderations.create(input="violence").results[0].flagged


def test_models_are_listed_and_found(client):
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def test_an_image_comes_whole_and_streams(client):
    image = client.images.generate(model="gpt-image-1", prompt="a dot")
    assert image.data[0].b64_json
    events = list(client.images.generate(model="gpt-image-1", prompt="a dot", stream=True))
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]


def test_an_image_is_edited_from_an_upload(client):
    image = ("dot.png", b"\x89PNG not really", "image/png")
    assert client.images.edit(model="gpt-image-1", image=image, prompt="bigger").data[0].b64_json


def test_speech_streams_into_a_file(client, tmp_path):
    path = tmp_path / "speech.mp3"
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="marin", input="Hello"
    ) as answer:
        answer.stream_to_file(path)
    assert path.stat().st_size == 96_044


def test_a_transcription_is_uploaded_whole_and_streamed(client):
    sound = ("sound.wav", b"\0" * 100_000, "audio/wav")
    text = "I heard 100000 bytes of sound."
    done = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound)
    assert done.text == text
    events = list(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound, stream=True))
    assert events[-1].text == text


def test_64_mib_go_up_and_come_down_unchanged(client, pair):
    content = os.urandom(1024 * 1024) * 64
    digest = hashlib.sha256(content).hexdigest()
    stored = client.files.create(file=("big.bin", io.BytesIO(content)), purpose="user_data")
    assert stored.bytes == len(content)
    down = hashlib.sha256()
    with client.files.with_streaming_response.content(stored.id) as answer:
        for chunk in answer.iter_bytes():
            down.update(chunk)
    assert down.hexdigest() == digest
    assert client.files.delete(stored.id).deleted


def test_a_large_file_is_uploaded_in_parts(client):
    upload = client.uploads.create(bytes=6, filename="a.txt", mime_type="text/plain", purpose="user_data")
    parts = [client.uploads.parts.create(upload.id, data=piece).id for piece in (b"abc", b"def")]
    done = client.uploads.complete(upload.id, part_ids=parts)
    assert client.files.content(done.file.id).read() == b"abcdef"


def test_a_client_secret_is_minted(client):
    secret = client.realtime.client_secrets.create(session={"type": "realtime", "model": "gpt-realtime-2.1"})
    assert secret.value.startswith("ek_")


def test_a_wrong_token_raises_an_authentication_error(pair):
    with openai.OpenAI(base_url=pair.base_url, api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            client.models.list()
    assert raised.value.code == "invalid_api_key"
    assert raised.value.request_id.startswith("req_")
    assert pair.received() == []


def test_upstream_refusals_raise_their_own_classes(once):
    with pytest.raises(openai.NotFoundError) as missing:
        once.chat.completions.create(model="gpt-0", messages=HELLO)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        once.chat.completions.create(model=MODEL, messages=[])
    assert bad.value.param == "messages"
    with pytest.raises(openai.RateLimitError):
        once.chat.completions.create(model=MODEL, messages=HELLO, extra_headers=script("status=429"))
    with pytest.raises(openai.InternalServerError):
        once.chat.completions.create(model=MODEL, messages=HELLO, extra_headers=script("status=503"))


def test_a_rate_limit_is_retried_as_the_upstream_says(client, pair):
    wait = script("status=429 retry-after-ms=10 times=2 key=py-retry")
    done = client.chat.completions.create(model=MODEL, messages=HELLO, extra_headers=wait)
    assert done.choices[0].message.content == ANSWER
    assert len(pair.received()) == 3


def test_a_quota_that_is_gone_is_not_retried(client, pair):
    gone = script("status=429 code=insufficient_quota type=insufficient_quota should-retry=false")
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model=MODEL, messages=HELLO, extra_headers=gone)
    assert raised.value.code == "insufficient_quota"
    assert len(pair.received()) == 1


def test_a_stream_that_breaks_raises_what_the_relay_says_of_it(once):
    broken = script("cut-after=2")
    with pytest.raises(openai.APIError) as raised:
        for _ in once.chat.completions.create(model=MODEL, messages=HELLO, stream=True, extra_headers=broken):
            pass
    assert raised.value.code == "upstream_broken"
    with pytest.raises(openai.APIError) as raised:
        for _ in once.responses.create(model=MODEL, input="Hi", stream=True, extra_headers=broken):
            pass
    assert raised.value.code == "upstream_broken"


def test_a_timeout_of_the_client_ends_the_upstream_exchange(once, pair):
    with pytest.raises(openai.APITimeoutError):
        once.with_options(timeout=0.3).chat.completions.create(
            model=MODEL, messages=HELLO, extra_headers=script("hang=head")
        )
    eventually(lambda: any('"outcome":"client_gone"' in line for line in pair.log))


def test_a_stream_that_is_left_ends_the_upstream_exchange(once, pair):
    before = pair.ask("connections")["open"]
    stream = once.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, extra_headers=script("hang=body")
    )
    next(iter(stream))
    stream.close()
    eventually(lambda: pair.ask("connections")["open"] <= before)


def test_headers_of_the_upstream_can_be_read(client):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.headers["x-ratelimit-limit-requests"] == "10000"
    assert raw.headers["openai-processing-ms"] == "12"
    assert raw.request_id.startswith("req_")
    assert "set-cookie" not in raw.headers


def test_the_async_client_does_the_same(pair):
    async def talk():
        async with openai.AsyncOpenAI(base_url=pair.base_url, api_key=RELAY_TOKEN) as client:
            whole = await client.chat.completions.create(model=MODEL, messages=HELLO)
            stream = await client.responses.create(model=MODEL, input="Hello there", stream=True)
            events = [event.type async for event in stream]
            many = await asyncio.gather(*(client.models.list() for _ in range(20)))
            return whole.choices[0].message.content, events[-1], len(many)

    assert asyncio.run(talk()) == (ANSWER, "response.completed", 20)


def test_no_secret_crosses_the_relay(client, pair):
    seen = []
    hooks = {"response": [lambda answer: seen.append(f"{answer.headers}")]}
    with httpx2.Client(event_hooks=hooks) as transport:
        own = openai.OpenAI(base_url=pair.base_url, api_key=RELAY_TOKEN, http_client=transport)
        seen.append(own.chat.completions.create(model=MODEL, messages=HELLO).model_dump_json())
    assert SERVER_KEY not in "".join(seen)
    for request in pair.received():
        assert RELAY_TOKEN not in str(request)
        assert ["authorization", f"Bearer {SERVER_KEY}"] in request["headers"]
    log = "".join(pair.log)
    assert SERVER_KEY not in log and RELAY_TOKEN not in log
