"""The beta Realtime classes of openai-python as they were in 2025, unmodified, through the relay.

What the relay makes up has to fit the types that the SDK declares: it does not check them itself.
"""

import asyncio
import base64
import json
import typing

import openai
import pytest
from openai.types.beta.realtime import RealtimeServerEvent, SessionCreateResponse, TranscriptionSession
from pydantic import ValidationError
from websockets.exceptions import ConnectionClosedError

from pair import RELAY_TOKEN, SERVER_KEY, eventually

# Retired, as its users still name it, and what takes its place.
MODEL = "gpt-4o-realtime-preview"
SUCCESSOR = "gpt-realtime-2.1-mini"
# PCM of 16 bits at 24 kHz has 48 bytes in a millisecond; the stand-in says a word in 300 ms.
BYTES_PER_MS = 48
WORD_MS = 300
# Those of telephones have 8.
G711_BYTES_PER_MS = 8

# By the type of the event, what the SDK declares of it.
EVENTS = {
    typing.get_args(shape.model_fields["type"].annotation)[0]: shape
    for shape in typing.get_args(typing.get_args(RealtimeServerEvent)[0])
}
# It was sent, but never declared.
UNDECLARED = "transcription_session.created"

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
SESSION = {
    "modalities": ["text", "audio"],
    "instructions": "Be brief.",
    "voice": "ash",
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm16",
    "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en"},
    "input_audio_noise_reduction": {"type": "near_field"},
    "turn_detection": {"type": "server_vad", "threshold": 0.4, "create_response": True},
    "tools": [TOOL],
    "tool_choice": "auto",
    "temperature": 0.7,
    "max_response_output_tokens": 4096,
    "speed": 1.1,
}
HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello there"}]}
ASKING = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Please get_weather"}]}
WRITTEN = {"modalities": ["text"]}
# The query of transcriptions. The SDK names a model beside it in any case.
HEARING = {"intent": "transcription"}


def base(pair, **given):
    given = {"api_key": RELAY_TOKEN, **given}
    socket_url = pair.base_url.replace("http:", "ws:")
    return {"base_url": pair.base_url, "websocket_base_url": socket_url, **given}


@pytest.fixture
def client(pair):
    with openai.OpenAI(**base(pair)) as client:
        yield client


def sound(ms, bytes_per_ms=BYTES_PER_MS):
    return base64.b64encode(b"\x01\x02" * (ms * bytes_per_ms // 2)).decode()


# The models of its time alone are declared; and a key where a session tells of itself, which no server gave.
MISDECLARED = [("session", "model"), ("session", "client_secret")]


def check(shape, value):
    """The value is what the SDK declares."""
    try:
        shape.model_validate(value)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if fault["loc"] not in MISDECLARED]
        assert faults == [], value


class Talk:
    """The events of a connection."""

    def __init__(self, connection):
        self.connection = connection

    def next(self):
        message = self.connection.recv_bytes()
        event = json.loads(message)
        if event["type"] != UNDECLARED:
            check(EVENTS[event["type"]], event)
        return self.connection.parse_event(message)

    def to(self, kind):
        """Those up to the next of that type."""
        events = [self.next()]
        while events[-1].type != kind:
            assert events[-1].type != "error", events[-1]
            events.append(self.next())
        return events

    def last(self, kind):
        return self.to(kind)[-1]


def only(events, kind):
    return [event for event in events if event.type == kind]


def joined(events, kind):
    return "".join(event.delta for event in only(events, kind))


def heard(events):
    return b"".join(base64.b64decode(event.delta) for event in only(events, "response.audio.delta"))


def test_a_session_begins_and_is_updated_in_its_flat_shape(client, pair):
    with client.beta.realtime.connect(model=MODEL) as connection:
        talk = Talk(connection)
        created = talk.next().session
        assert (created.model, created.modalities) == (SUCCESSOR, ["text", "audio"])
        assert (created.input_audio_format, created.output_audio_format) == ("pcm16", "pcm16")
        assert created.turn_detection.type == "server_vad"
        assert talk.next().type == "conversation.created"
        connection.session.update(session=SESSION)
        updated = talk.next()
        assert updated.type == "session.updated"
        told = json.loads(updated.session.to_json())
        for name, value in SESSION.items():
            got = told[name]
            # The upstream completes what was asked for.
            got = {key: got[key] for key in value} if isinstance(value, dict) else got
            assert got == value, name
        off = {"turn_detection": None, "input_audio_transcription": None, "input_audio_noise_reduction": None}
        connection.send({"type": "session.update", "session": off})
        session = talk.last("session.updated").session
        assert (session.turn_detection, session.input_audio_transcription) == (None, None)
        assert session.input_audio_noise_reduction is None
        assert (session.voice, session.temperature) == ("ash", 0.7)
    request = pair.sockets()[0]["request"]
    headers = dict(request["headers"])
    assert request["target"] == f"/v1/realtime?model={SUCCESSOR}"
    assert headers["authorization"] == f"Bearer {SERVER_KEY}" and "openai-beta" not in headers
    eventually(lambda: any("temperature" in line for line in pair.log))


def test_text_goes_in_and_comes_out(client):
    with client.beta.realtime.connect(model=MODEL) as connection:
        talk = Talk(connection)
        conversation = talk.last("conversation.created").conversation
        connection.conversation.item.create(item=HELLO)
        created = talk.next()
        assert (created.type, created.item.role) == ("conversation.item.created", "user")
        connection.response.create(response=WRITTEN)
        events = talk.to("rate_limits.updated")
        kinds = [event.type for event in events]
        assert [kind for at, kind in enumerate(kinds) if kind != kinds[at - 1]] == [
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.text.delta",
            "response.text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        assert joined(events, "response.text.delta") == "You said: Hello there"
        assert only(events, "response.text.done")[0].text == "You said: Hello there"
        part = only(events, "response.content_part.done")[0].part
        assert (part.type, part.text) == ("text", "You said: Hello there")
        done = only(events, "response.done")[0].response
        assert (done.status, done.modalities, done.conversation_id) == ("completed", ["text"], conversation.id)
        assert done.output[0].content[0].type == "text"
        assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
        assert done.usage.output_token_details.text_tokens > 0


def test_sound_goes_in_and_comes_out_with_both_transcripts(client):
    with client.beta.realtime.connect(model=MODEL) as connection:
        talk = Talk(connection)
        connection.session.update(session={"input_audio_transcription": {"model": "whisper-1"}})
        talk.last("session.updated")
        for _ in range(10):
            connection.input_audio_buffer.append(audio=sound(100))
        events = talk.to("rate_limits.updated")
        turn = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
        assert [event.type for event in events[:4]] == [*turn, "conversation.item.created"]
        transcribed = "conversation.item.input_audio_transcription"
        assert joined(events, f"{transcribed}.delta") == "I heard 1000 milliseconds of sound."
        assert only(events, f"{transcribed}.completed")[0].transcript == "I heard 1000 milliseconds of sound."
        words = "You spoke for 1000 milliseconds."
        assert joined(events, "response.audio_transcript.delta") == words
        assert only(events, "response.audio_transcript.done")[0].transcript == words
        assert len(heard(events)) == len(words.split()) * WORD_MS * BYTES_PER_MS
        assert len(only(events, "response.audio.done")) == 1
        part = only(events, "response.content_part.done")[0].part
        assert (part.type, part.transcript) == ("audio", words)
        done = only(events, "response.done")[0].response
        content = done.output[0].content[0]
        assert (content.type, content.transcript, done.modalities) == ("audio", words, ["text", "audio"])
        assert done.usage.input_token_details.audio_tokens > 0
        assert done.usage.output_token_details.audio_tokens > 0


def test_turns_are_ended_by_hand_and_sound_may_be_that_of_telephones(client):
    with client.beta.realtime.connect(model=MODEL) as connection:
        talk = Talk(connection)
        formats = {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"}
        connection.send({"type": "session.update", "session": {**formats, "turn_detection": None}})
        session = talk.last("session.updated").session
        assert (session.input_audio_format, session.output_audio_format) == ("g711_ulaw", "g711_ulaw")
        connection.input_audio_buffer.append(audio=sound(300, G711_BYTES_PER_MS))
        connection.input_audio_buffer.clear()
        assert talk.next().type == "input_audio_buffer.cleared"
        connection.input_audio_buffer.append(audio=sound(400, G711_BYTES_PER_MS))
        connection.input_audio_buffer.commit()
        assert [talk.next().type, talk.next().type] == ["input_audio_buffer.committed", "conversation.item.created"]
        connection.response.create()
        events = talk.to("response.done")
        words = "You spoke for 400 milliseconds."
        assert joined(events, "response.audio_transcript.delta") == words
        assert len(heard(events)) == len(words.split()) * WORD_MS * G711_BYTES_PER_MS
        assert events[-1].response.output_audio_format == "g711_ulaw"


def test_a_tool_is_called_and_its_output_is_used(client):
    with client.beta.realtime.connect(model=MODEL) as connection:
        talk = Talk(connection)
        # The choice as the guides of 2024 wrote it.
        choice = {"type": "function", "function": {"name": "get_weather"}}
        connection.session.update(session={"modalities": ["text"], "tools": [TOOL]})
        connection.conversation.item.create(item=HELLO)
        connection.response.create(response={"tool_choice": choice})
        assert talk.last("response.done").response.output[0].name == "get_weather"
        connection.conversation.item.create(item=ASKING)
        connection.response.create()
        events = talk.to("response.done")
        call = events[-1].response.output[0]
        assert (call.type, call.name) == ("function_call", "get_weather")
        assert json.loads(call.arguments) == {"city": "Please get_weather"}
        assert joined(events, "response.function_call_arguments.delta") == call.arguments
        assert only(events, "response.function_call_arguments.done")[0].call_id == call.call_id
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        connection.conversation.item.create(item=output)
        connection.response.create()
        done = talk.last("response.done").response
        assert done.output[0].content[0].text == "The tool says: sunny"


def test_an_answer_is_cancelled_cut_short_and_deleted(client, pair):
    with client.beta.realtime.connect(model=MODEL, extra_headers={"X-Fake-Script": "speech=600000"}) as connection:
        talk = Talk(connection)
        connection.conversation.item.create(item=HELLO)
        connection.response.create()
        delta = talk.last("response.audio.delta")
        connection.response.cancel(response_id=delta.response_id)
        done = talk.last("response.done").response
        assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
        item = delta.item_id
        connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=10)
        truncated = talk.last("conversation.item.truncated")
        assert (truncated.item_id, truncated.audio_end_ms) == (item, 10)
        connection.conversation.item.retrieve(item_id=item)
        retrieved = talk.next()
        assert (retrieved.type, retrieved.item.content[0].type) == ("conversation.item.retrieved", "audio")
        connection.conversation.item.delete(item_id=item)
        assert talk.next().item_id == item
        connection.conversation.item.retrieve(item_id=item)
        error = talk.next()
        assert (error.type, error.error.code) == ("error", "item_retrieve_invalid_item_id")


def test_a_history_is_written_in_the_betas_words(client):
    with client.beta.realtime.connect(model=MODEL) as connection:
        talk = Talk(connection)
        talk.last("conversation.created")
        said = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi!"}]}
        connection.conversation.item.create(item=said)
        created = talk.next()
        assert (created.type, created.item.content[0].type) == ("conversation.item.created", "text")
        connection.conversation.item.create(item=HELLO, previous_item_id=created.item.id)
        assert talk.next().previous_item_id == created.item.id
        connection.response.create(response={"conversation": "none", "input": [ASKING], **WRITTEN})
        done = talk.last("response.done").response
        assert done.output[0].content[0].text == "You said: Please get_weather"


def test_an_error_names_the_field_as_the_client_does(client):
    with client.beta.realtime.connect(model=MODEL) as connection:
        talk = Talk(connection)
        talk.last("conversation.created")
        connection.send({"type": "session.update", "session": {"voice": 7}, "event_id": "mine"})
        error = talk.next().error
        assert (error.param, error.event_id) == ("session.voice", "mine")


def test_the_async_client_converses_too(pair):
    async def converse():
        async with openai.AsyncOpenAI(**base(pair)) as client:
            async with client.beta.realtime.connect(model=MODEL) as connection:
                await connection.session.update(session={"modalities": ["text"]})
                await connection.conversation.item.create(item=HELLO)
                await connection.response.create()
                text = ""
                async for event in connection:
                    assert event.type != "error", event
                    if event.type == "response.text.delta":
                        text += event.delta
                    if event.type == "response.done":
                        return text

    assert asyncio.run(converse()) == "You said: Hello there"


def transcribe(connection):
    """Speaks a turn; all that is told of it."""
    talk = Talk(connection)
    wanted = {"input_audio_transcription": {"model": "gpt-4o-transcribe", "prompt": "Sounds"}}
    connection.transcription_session.update(session={"input_audio_format": "pcm16", **wanted})
    updated = talk.last("transcription_session.updated").session
    assert (updated.input_audio_format, updated.input_audio_transcription.prompt) == ("pcm16", "Sounds")
    for _ in range(10):
        connection.input_audio_buffer.append(audio=sound(100))
    completed = talk.last("conversation.item.input_audio_transcription.completed")
    assert completed.transcript == "I heard 1000 milliseconds of sound."
    assert completed.usage.total_tokens > 0


def test_a_session_of_transcriptions_writes_down_what_it_hears(client, pair):
    for model in ("gpt-4o-transcribe", ""):
        with client.beta.realtime.connect(model=model, extra_query=HEARING) as connection:
            transcribe(connection)
    targets = [seen["request"]["target"] for seen in pair.sockets()]
    assert targets == ["/v1/realtime?intent=transcription"] * 2


def test_a_key_is_minted_in_the_betas_shape_and_opens_a_session(client, pair):
    minted = client.beta.realtime.sessions.create(
        model=MODEL, client_secret={"expires_after": {"anchor": "created_at", "seconds": 60}}, **SESSION
    )
    assert minted.client_secret.value.startswith("ek_")
    check(SessionCreateResponse, json.loads(minted.to_json()))
    assert (minted.voice, minted.temperature, minted.modalities) == ("ash", 0.7, ["text", "audio"])
    assert [tool.name for tool in minted.tools] == ["get_weather"]
    assert (minted.input_audio_format, minted.max_response_output_tokens) == ("pcm16", 4096)
    assert pair.received()[0]["target"] == "/v1/realtime/client_secrets"
    with openai.OpenAI(**base(pair, api_key=minted.client_secret.value)) as page:
        with page.beta.realtime.connect(model=MODEL) as connection:
            session = Talk(connection).next().session
            assert (session.voice, session.instructions) == ("ash", "Be brief.")
            assert session.input_audio_transcription.model == "gpt-4o-transcribe"


def test_a_key_for_transcriptions_is_minted_in_the_betas_shape_and_opens_one(client, pair):
    minted = client.beta.realtime.transcription_sessions.create(
        input_audio_format="pcm16", input_audio_transcription={"model": "gpt-4o-mini-transcribe"}
    )
    check(TranscriptionSession, json.loads(minted.to_json()))
    assert minted.input_audio_transcription.model == "gpt-4o-mini-transcribe"
    with openai.OpenAI(**base(pair, api_key=minted.client_secret.value)) as page:
        with page.beta.realtime.connect(model=MODEL, extra_query=HEARING) as connection:
            transcribe(connection)


def test_a_model_that_is_not_there_is_told_and_closes_with_openais_code(client):
    with client.beta.realtime.connect(model="gpt-realtime-0") as connection:
        assert Talk(connection).next().error.code == "model_not_found"
        with pytest.raises(ConnectionClosedError) as raised:
            connection.recv()
    assert raised.value.rcvd.code == 4004
