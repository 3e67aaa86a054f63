"""Sockets through the relay: openai-python's Realtime, Responses and Live connections, and plain websockets."""

import asyncio
import base64
import hashlib
import json

import openai
import pytest
import websockets
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from pair import RELAY_TOKEN, SERVER_KEY, Pair, eventually

MODEL = "gpt-realtime-2.1"
TEXT_MODEL = "gpt-6-luna"
# PCM of 16 bits at 24 kHz has 48 bytes in a millisecond; the stand-in says a word in 300 ms.
BYTES_PER_MS = 48
WORD_MS = 300


def script(text):
    return {"X-Fake-Script": text}


def append(ms):
    sound = base64.b64encode(b"\x01\x02" * (ms * BYTES_PER_MS // 2)).decode()
    return {"type": "input_audio_buffer.append", "audio": sound}


def said(text):
    content = [{"type": "input_text", "text": text}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}}


TRANSCRIBED = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
WRITTEN = {"response": {"output_modalities": ["text"]}}
# What the client sends, and the event that ends the answer.
CONVERSATION = [
    ([{"type": "session.update", "session": TRANSCRIBED}], "session.updated"),
    ([said("Hello there"), {"type": "response.create", **WRITTEN}], "rate_limits.updated"),
    ([append(100) for _ in range(10)], "rate_limits.updated"),
]


def ends(message, last):
    return message.startswith(b'{"type":"%s"' % last.encode())


def check_conversation(messages):
    """The raw messages of the whole conversation."""
    events = [json.loads(message) for message in messages]
    assert [event for event in events if event["type"] == "error"] == []

    def joined(kind):
        return "".join(event["delta"] for event in events if event["type"] == kind)

    assert events[0]["type"] == "session.created" and events[0]["session"]["model"] == MODEL
    assert joined("response.output_text.delta") == "You said: Hello there"
    spoken = "You spoke for 1000 milliseconds."
    assert joined("response.output_audio_transcript.delta") == spoken
    heard = joined("conversation.item.input_audio_transcription.delta")
    assert heard == "I heard 1000 milliseconds of sound."
    deltas = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
    sound = b"".join(base64.b64decode(delta) for delta in deltas)
    assert len(sound) == len(spoken.split()) * WORD_MS * BYTES_PER_MS
    done = [event["response"] for event in events if event["type"] == "response.done"]
    assert [response["status"] for response in done] == ["completed", "completed"]
    assert done[-1]["usage"]["input_token_details"]["audio_tokens"] > 0


def check_digest(pair, messages):
    """The stand-in sent exactly these bytes."""
    digest = hashlib.sha256(b"".join(messages)).hexdigest()
    assert pair.sockets()[0]["sent"]["text"] == {
        "messages": len(messages),
        "bytes": sum(map(len, messages)),
        "sha256": digest,
    }


def events_to(connection, kind):
    """Events of an SDK's connection up to the one of that type."""
    events = []
    for event in connection:
        assert event.type != "error", event
        events.append(event)
        if event.type == kind:
            return events
    raise AssertionError(f"no {kind} in {[event.type for event in events]}")


def test_a_conversation_in_text_and_sound_comes_byte_for_byte(client, pair):
    messages = []
    with client.realtime.connect(model=MODEL) as connection:
        messages.append(connection.recv_bytes())
        for sent, last in CONVERSATION:
            for event in sent:
                connection.send(event)
            messages.append(connection.recv_bytes())
            while not ends(messages[-1], last):
                messages.append(connection.recv_bytes())
    check_conversation(messages)
    check_digest(pair, messages)


def test_the_async_client_converses_too(pair):
    async def converse():
        messages = []
        async with openai.AsyncOpenAI(base_url=pair.base_url, api_key=RELAY_TOKEN) as client:
            async with client.realtime.connect(model=MODEL) as connection:
                messages.append(await connection.recv_bytes())
                for sent, last in CONVERSATION:
                    for event in sent:
                        await connection.send(event)
                    messages.append(await connection.recv_bytes())
                    while not ends(messages[-1], last):
                        messages.append(await connection.recv_bytes())
        return messages

    messages = asyncio.run(converse())
    check_conversation(messages)
    check_digest(pair, messages)


def test_a_tool_is_called_and_its_output_is_used(client):
    tool = {
        "type": "function",
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    with client.realtime.connect(model=MODEL) as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"], "tools": [tool]})
        connection.conversation.item.create(item=said("Please get_weather")["item"])
        connection.response.create()
        done = events_to(connection, "response.done")[-1]
        call = done.response.output[0]
        assert (call.type, call.name) == ("function_call", "get_weather")
        assert json.loads(call.arguments) == {"city": "Please get_weather"}
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        connection.conversation.item.create(item=output)
        connection.response.create()
        done = events_to(connection, "response.done")[-1]
        assert done.response.output[0].content[0].text == "The tool says: sunny"


def test_a_transcription_session_needs_no_model(client):
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session={**TRANSCRIBED, "type": "transcription"})
        for _ in range(10):
            connection.input_audio_buffer.append(audio=append(100)["audio"])
        kind = "conversation.item.input_audio_transcription.completed"
        assert events_to(connection, kind)[-1].transcript == "I heard 1000 milliseconds of sound."


def test_an_error_leaves_the_session_open(client):
    with client.realtime.connect(model=MODEL) as connection:
        connection.send({"type": "response.cancel", "event_id": "mine"})
        events = [connection.recv(), connection.recv()]
        assert (events[1].type, events[1].error.code) == ("error", "response_cancel_not_active")
        connection.input_audio_buffer.clear()
        assert connection.recv().type == "input_audio_buffer.cleared"


@pytest.mark.parametrize("model, code", [("gpt-realtime-0", 4004), ("gpt-6-luna", 4000)])
def test_a_model_that_does_not_fit_is_told_and_closes_with_openais_code(client, model, code):
    with client.realtime.connect(model=model) as connection:
        event = connection.recv()
        assert event.type == "error" and model in event.error.message
        with pytest.raises(ConnectionClosedError) as raised:
            connection.recv()
    assert raised.value.rcvd.code == code
    assert raised.value.rcvd.reason == f"invalid_request_error.{event.error.code}"


def test_a_wrong_token_is_refused_in_openais_shape_and_goes_nowhere(pair):
    with openai.OpenAI(base_url=pair.base_url, api_key="wrong") as stranger:
        with pytest.raises(InvalidStatus) as raised:
            stranger.realtime.connect(model=MODEL).enter()
    response = raised.value.response
    assert (response.status_code, json.loads(response.body)["error"]["code"]) == (401, "invalid_api_key")
    assert response.headers["x-request-id"].startswith("req_")
    assert pair.received() == []


def test_an_upstream_that_is_lost_is_one_that_the_sdk_dials_again(client, pair):
    codes = []

    def again(event):
        codes.append(event.close_code)

    lost = script("fin after=1 key=py-lost times=1")
    connecting = client.realtime.connect(
        model=MODEL, extra_headers=lost, on_reconnecting=again, initial_delay=0.01
    )
    with connecting as connection:
        connection.send({"type": "input_audio_buffer.clear"})
        kinds = []
        for event in connection:
            kinds.append(event.type)
            if kinds.count("session.created") == 2:
                break
    assert kinds == ["session.created", "input_audio_buffer.cleared", "error", "session.created"]
    assert codes == [1011]
    assert len(pair.sockets()) == 2


def test_responses_come_in_lanes_over_one_socket(client, pair):
    with client.responses.connect() as connection:
        for lane in ("a", "b"):
            connection.response.create(model=TEXT_MODEL, input=f"Hello {lane}", stream_id=lane)
        done = {}
        for event in connection:
            if event.type == "response.completed":
                done[event.stream_id] = event.response
            if len(done) == 2:
                break
        texts = {lane: response.output_text for lane, response in done.items()}
        assert texts == {"a": "You said: Hello a", "b": "You said: Hello b"}
        connection.response.create(
            model=TEXT_MODEL, input="More", stream_id="a", previous_response_id=done["a"].id
        )
        more = events_to(connection, "response.completed")[-1].response
        assert more.previous_response_id == done["a"].id
        connection.response.create(model="gpt-0", input="Hi")
        refused = connection.recv()
        assert (refused.type, refused.error.code) == ("error", "model_not_found")
    assert len(pair.sockets()) == 1


def test_the_async_client_gets_responses_over_a_socket_too(pair):
    async def ask():
        async with openai.AsyncOpenAI(base_url=pair.base_url, api_key=RELAY_TOKEN) as client:
            async with client.responses.connect() as connection:
                await connection.response.create(model=TEXT_MODEL, input="Hello there")
                async for event in connection:
                    if event.type == "response.completed":
                        return event.response.output_text

    assert asyncio.run(ask()) == "You said: Hello there"


def test_translations_and_live_sessions_open_too(client, pair):
    with client.realtime.translations.connect(model="gpt-realtime-translate") as connection:
        assert connection.recv().type == "session.created"
    with client.live.connect() as connection:
        connection.send({"type": "session.start", "session": {"model": "gpt-live-1"}})
        assert connection.recv().type == "session.started"
        connection.send({"type": "session.close"})
        assert events_to(connection, "session.closed")[-1].reason == "close_requested"
    targets = [socket["request"]["target"] for socket in pair.sockets()]
    assert targets == ["/v1/realtime/translations?model=gpt-realtime-translate", "/v1/live/sessions"]


BEARER = {"Authorization": f"Bearer {RELAY_TOKEN}"}


def url(pair, path=f"/realtime?model={MODEL}"):
    return pair.base_url.replace("http", "ws", 1) + path


def test_plain_websockets_sends_and_gets_every_kind_of_message(pair):
    # As it comes: it offers compression, and pings.
    with connect(url(pair), additional_headers={**BEARER, **script("echo")}) as socket:
        large = "x" * 1_000_000
        for message in ("text", b"\x00\xff", "", large):
            socket.send(message)
            assert socket.recv() == message
        socket.send(["in ", "three ", "pieces"])
        assert list(socket.recv_streaming()) == ["in ", "three ", "pieces", ""]
        assert socket.ping("are you there").wait(20)
        assert socket.subprotocol is None and socket.protocol.extensions == []
        socket.close(4321, "had enough")
    eventually(lambda: pair.sockets()[0]["received"]["close"] is not None)
    seen = pair.sockets()[0]["received"]
    assert seen["close"] == {"code": 4321, "reason": "had enough"}
    assert seen["pings"] == [b"are you there".hex()]
    assert seen["text"]["messages"] == 4 and seen["binary"]["messages"] == 1


@pytest.fixture
def compressing(tmp_path):
    pair = Pair(tmp_path, {"WS_COMPRESSION": "true"})
    yield pair
    pair.stop()


def test_plain_websockets_compresses_where_the_operator_allows_it(compressing):
    messages = ["short", "long " * 50_000, "", "ü" * 10_000]
    with connect(url(compressing), additional_headers={**BEARER, **script("echo")}) as socket:
        assert [extension.name for extension in socket.protocol.extensions] == ["permessage-deflate"]
        for message in messages:
            socket.send(message)
            assert socket.recv() == message
        socket.send(b"\x00" * 100_000)
        assert socket.recv() == b"\x00" * 100_000
        socket.send(["in " * 1000, "pieces"])
        assert socket.recv() == "in " * 1000 + "pieces"
    seen = compressing.sockets()[0]
    whole = "".join([*messages, "in " * 1000, "pieces"]).encode()
    assert seen["received"]["text"]["sha256"] == hashlib.sha256(whole).hexdigest()
    assert not seen["deflate_offered"]


def test_a_token_in_the_subprotocols_opens_a_session_and_stays_with_the_relay(pair):
    async def open_and_close():
        offered = ["realtime", f"openai-insecure-api-key.{RELAY_TOKEN}"]
        async with connect_async(url(pair), subprotocols=offered) as socket:
            created = json.loads(await socket.recv())
            return socket.subprotocol, created["type"]

    assert asyncio.run(open_and_close()) == ("realtime", "session.created")
    seen = pair.sockets()[0]
    assert seen["subprotocols"] == ["realtime"]
    assert ["authorization", f"Bearer {SERVER_KEY}"] in seen["request"]["headers"]
    assert RELAY_TOKEN not in json.dumps(seen)
    log = "".join(pair.log)
    assert SERVER_KEY not in log and RELAY_TOKEN not in log


def test_plain_websockets_reads_why_an_upgrade_was_refused(pair):
    for headers, status, code in [
        ({}, 401, "invalid_api_key"),
        ({**BEARER, **script("status=429 retry-after=1")}, 429, "rate_limit_exceeded"),
        ({**BEARER, **script("garbage")}, 502, "upstream_broken"),
    ]:
        with pytest.raises(InvalidStatus) as raised:
            connect(url(pair), additional_headers=headers)
        response = raised.value.response
        assert (response.status_code, json.loads(response.body)["error"]["code"]) == (status, code)


def test_the_upstreams_close_reaches_plain_websockets(pair):
    headers = {**BEARER, **script("echo close-code=1001 close-reason=Your%20session%20is%20over.")}
    with connect(url(pair), additional_headers=headers) as socket:
        with pytest.raises(websockets.exceptions.ConnectionClosedOK):
            socket.recv()
        assert (socket.close_code, socket.close_reason) == (1001, "Your session is over.")
