"""nginx, Caddy and haproxy in front, from deploy/: TLS, streams, sockets, addresses, and clients that leave."""

import asyncio
import json
import re
import ssl
import urllib.request

import httpx2 as httpx
import openai
import pytest
from websockets.asyncio.client import connect

import fronts
from pair import RELAY_TOKEN, SERVER_KEY

KINDS = ["nginx", "caddy", "haproxy"]
HELLO = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def relay(fake, relays):
    return relays(
        {
            "OPENAI_API_KEY": SERVER_KEY,
            "OPENAI_BASE_URL": fake.base_url,
            "RELAY_TOKEN": RELAY_TOKEN,
            "RELAY_ENV": "production",
            "HEARTBEAT_INTERVAL": "2000",
        }
    )


@pytest.fixture(params=KINDS)
def front(request, relay, tmp_path, monkeypatch):
    with fronts.start(request.param, [relay.origin], tmp_path) as front:
        monkeypatch.setenv("SSL_CERT_FILE", str(front.authority))
        yield front


def client(front, script=None):
    headers = {"X-Fake-Script": script} if script else {}
    return openai.OpenAI(
        base_url=f"{front.origin}/v1", api_key=RELAY_TOKEN, max_retries=0, default_headers=headers
    )


def finished(relay, path):
    return relay.line(lambda entry: entry.get("path") == path and "outcome" in entry)


def test_each_piece_of_a_stream_arrives_before_the_next_is_sent(front, relay):
    # The stand-in waits between the first event and the rest: a front that gathers would hold the first one back.
    with client(front, "silence=4000") as ours:
        stream = ours.chat.completions.create(model="gpt-6-luna", messages=HELLO, stream=True)
        next(iter(stream))
        assert not any("outcome" in entry for entry in relay.log), "the exchange is over already"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert finished(relay, "/v1/chat/completions")["outcome"] == "completed"


def test_a_client_that_leaves_a_stream_ends_it_at_the_relay(front, relay):
    with client(front, "silence=60000") as ours:
        stream = ours.chat.completions.create(model="gpt-6-luna", messages=HELLO, stream=True)
        next(iter(stream))
        stream.close()
    assert finished(relay, "/v1/chat/completions")["outcome"] == "client_gone"


def test_the_relay_sees_the_clients_address_and_no_other(front, relay):
    ask = urllib.request.Request(
        f"{front.origin}/v1/models",
        headers={"Authorization": f"Bearer {RELAY_TOKEN}", "X-Forwarded-For": "203.0.113.7"},
    )
    trust = ssl.create_default_context(cafile=str(front.authority))
    with urllib.request.urlopen(ask, context=trust) as answer:
        assert answer.status == 200
    # The client is on this machine, which TRUSTED_PROXIES has, so that what it says of whom it asks for is believed: the chain
    # has come through. Caddy believes nobody, and names the client itself.
    believed = "127.0.0.1" if front.kind == "caddy" else "203.0.113.7"
    assert finished(relay, "/v1/models")["client"] in (believed, "::1")


def test_a_session_carries_every_kind_of_message_and_closes_with_its_code(front, relay):
    asyncio.run(converse(front))
    line = finished(relay, "/v1/realtime")
    assert (line["client_close"], line["messages_up"], line["messages_down"]) == (4321, 3, 3)


async def converse(front):
    trust = ssl.create_default_context(cafile=str(front.authority))
    url = front.origin.replace("https", "wss") + "/v1/realtime?model=gpt-realtime-2.1"
    headers = {"Authorization": f"Bearer {RELAY_TOKEN}", "X-Fake-Script": "echo"}
    async with connect(url, additional_headers=headers, ssl=trust, max_size=None) as socket:
        for message in ["text", b"bytes", "x" * 1_000_000]:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.close(4321, "enough")


def test_uploads_are_as_large_as_they_like(front, relay):
    text = "x" * (8 << 20)
    with client(front) as ours:
        ours.post("/_fake/echo", cast_to=object, body={"text": text}, options={"timeout": 60})
    line = finished(relay, "/v1/_fake/echo")
    assert line["outcome"] == "completed" and line["bytes_up"] > len(text)


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)([smh])", text).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def test_no_front_ends_a_session_within_an_hour():
    nginx = (fronts.DEPLOY / "nginx" / "openai-relay.conf").read_text()
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        assert seconds(re.search(rf"{name} (\w+);", nginx)[1]) > 3600
    haproxy = (fronts.DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    assert seconds(re.search(r"timeout tunnel (\w+)", haproxy)[1]) > 3600
    # Caddy has no limit unless one is set.
    caddy = (fronts.DEPLOY / "caddy" / "Caddyfile").read_text()
    for limit in ("stream_timeout", "read_timeout", "write_timeout", "read_body"):
        assert limit not in caddy


def test_both_haproxy_files_say_the_same_but_for_the_servers():
    def rules(path):
        lines = (fronts.DEPLOY / path).read_text().splitlines()
        lines = [line for line in lines if line and not line.startswith("#")]
        text = "\n".join(line for line in lines if not line.lstrip().startswith("server"))
        return re.sub(r"resolvers docker\n(    .*\n)+", "", text)

    assert rules("haproxy/haproxy.cfg") == rules("compose/production/haproxy.cfg")


def test_a_relay_that_is_killed_costs_only_its_own_exchanges(fake, relays, tmp_path, monkeypatch):
    variables = {"OPENAI_API_KEY": SERVER_KEY, "OPENAI_BASE_URL": fake.base_url, "RELAY_TOKEN": RELAY_TOKEN}
    three = [relays(variables) for _ in range(3)]
    with fronts.start("haproxy", [relay.origin for relay in three], tmp_path) as front:
        monkeypatch.setenv("SSL_CERT_FILE", str(front.authority))
        clients = [client(front, "silence=10000") for _ in range(9)]
        streams = [
            ours.chat.completions.create(model="gpt-6-luna", messages=HELLO, stream=True)
            for ours in clients
        ]
        for stream in streams:
            next(iter(stream))
        running = [active(relay) for relay in three]
        assert sum(running) == 9 and min(running) > 0, running
        three[0].process.kill()
        whole = sum(ends_whole(stream) for stream in streams)
        assert whole == 9 - running[0], f"{whole} of 9 streams ended whole, {running} ran"
        # New work goes to the other two at once.
        with client(front) as ours:
            for _ in range(6):
                assert ours.models.list().data
        for ours in clients:
            ours.close()


def ends_whole(stream):
    try:
        last = None
        for last in stream:
            pass
        return last is not None and last.choices[0].finish_reason == "stop"
    except (openai.APIError, httpx.HTTPError):
        return False


def active(relay):
    with urllib.request.urlopen(f"{relay.origin}/stats") as answer:
        return json.load(answer)["exchanges"]["active"]
