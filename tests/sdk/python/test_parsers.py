"""What the relay sends upstream means the same to three parsers: h11, httparse and nginx."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import h11
import pytest

from pair import BINARIES, RELAY_TOKEN, ROOT, SERVER_KEY, SOON, eventually

CORPUS = ROOT / "tests" / "fixtures" / "smuggling.jsonl"
HONEST = [
    "GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n",
    "GET /v1/x?q={%22%3C HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nX-Empty:\r\nX-Tab: a\tb\r\n\r\n",
    "POST /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 5\r\n\r\nhello",
    "POST /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n",
    "POST /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n",
    "DELETE /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n",
]


def requests():
    for line in CORPUS.read_text().splitlines():
        name, raw = json.loads(line)
        yield name, raw
    for raw in HONEST:
        yield "honest", raw


def filled(raw):
    raw = raw.replace("{token}", RELAY_TOKEN)
    _, _, body = raw.partition("\r\n\r\n")
    return raw.replace("{length}", str(len(body.encode()))).encode()


class Recorder(threading.Thread):
    """An upstream that keeps the bytes of each connection and answers what h11 reads from them."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = []
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        record = {"raw": b"", "requests": [], "error": None}
        connection = h11.Connection(h11.SERVER)
        client.settimeout(20)
        with client:
            try:
                while True:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        data = client.recv(65536)
                        record["raw"] += data
                        connection.receive_data(data)
                    elif isinstance(event, h11.Request):
                        self.connections.append(record)
                        record["requests"].append([event.method.decode(), event.target.decode("latin-1"), b""])
                    elif isinstance(event, h11.Data):
                        record["requests"][-1][2] += bytes(event.data)
                    elif isinstance(event, h11.EndOfMessage):
                        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                        record["complete"] = True
                        record["raw"] += client.recv(65536)
                        return
                    else:
                        return
            except (h11.RemoteProtocolError, OSError) as error:
                record["error"] = str(error)


def exchange(address, raw, patience=2):
    """Sends bytes, and reads until the peer closes or says no more for a while."""
    with socket.create_connection(address, timeout=patience) as client, contextlib.suppress(OSError):
        client.sendall(raw)
        seen = b""
        while data := client.recv(65536):
            seen += data
        return seen
    return b""


@pytest.fixture
def nginx(tmp_path):
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    assert pathlib.Path(binary).exists(), "nginx is not installed"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "nginx.conf").write_text(
        f"""
daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; worker_processes 1; user root;
events {{}}
http {{
  client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
  uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
  log_format one escape=json '{{"method":"$request_method","target":"$request_uri","status":$status}}';
  server {{
    listen 127.0.0.1:{port}; access_log {tmp_path}/access.log one;
    large_client_header_buffers 8 128k; keepalive_timeout 100ms;
    location / {{ return 200 ok; }}
  }}
}}
"""
    )
    process = subprocess.Popen([binary, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    address = ("127.0.0.1", port)

    def is_up():
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
            return True
        return False

    eventually(is_up)
    yield address, tmp_path / "access.log"
    process.terminate()
    process.wait(SOON)


@pytest.fixture
def relay(tmp_path):
    recorder = Recorder()
    port = recorder.listener.getsockname()[1]
    process = subprocess.Popen(
        [BINARIES / "openai-relay", "serve"],
        env={
            "HOST": "127.0.0.1",
            "PORT": "0",
            "LOG_FORMAT": "json",
            "OPENAI_API_KEY": SERVER_KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}",
            "RELAY_TOKEN": RELAY_TOKEN,
            "HEADER_TIMEOUT": "600ms",
            "BODY_TIMEOUT": "600ms",
            "KEEPALIVE_TIMEOUT": "50ms",
        },
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        entry = json.loads(line)
        if entry.get("message") == "listening":
            break
    threading.Thread(target=process.stderr.read, daemon=True).start()
    host, _, port = entry["address"].rpartition(":")
    yield recorder, (host, int(port))
    process.terminate()
    process.wait(SOON)


def test_what_goes_up_means_the_same_to_h11_httparse_and_nginx(pair, relay, nginx):
    recorder, address = relay
    nginx_address, access_log = nginx
    host, _, port = pair.upstream.removeprefix("http://").removesuffix("/v1").rpartition(":")
    fake_address = (host, int(port))
    compared = 0
    for name, raw in requests():
        recorder.connections.clear()
        exchange(address, filled(raw))
        seen = list(recorder.connections)
        assert len(seen) <= 1, f"{name}: {len(seen)} requests"
        if not seen or not seen[0].get("complete"):
            continue
        [(method, target, body)] = seen[0]["requests"]
        assert "smuggled" not in target, name
        sent = seen[0]["raw"]
        # The same bytes once more, to the other two.
        before = len(access_log.read_text().splitlines())
        exchange(nginx_address, sent)
        eventually(lambda: len(access_log.read_text().splitlines()) > before)
        time.sleep(0.02)
        lines = [json.loads(line) for line in access_log.read_text().splitlines()[before:]]
        assert lines == [{"method": method, "target": target, "status": 200}], name
        pair.reset()
        exchange(fake_address, sent, patience=0.2)
        eventually(pair.received)
        [received] = pair.received()
        assert (received["method"], received["target"]) == (method, target), name
        assert received["body"] == body.decode("latin-1"), name
        compared += 1
    assert compared >= len(HONEST), compared
