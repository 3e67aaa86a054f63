"""Servers in front of relays, from the very files that users copy: only addresses, ports and certificates are changed."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def filled(text):
    """An example with a secret in each place that says to put one there."""
    return re.sub(r"replace-me[\w-]*", lambda found: hashlib.sha256(found[0].encode()).hexdigest(), text)


# The .env of each page for moving in, and each example, by the name of its page or folder.
ENV_FILES = {
    page.name: re.search(r"<!-- env -->\n```sh\n(.*?)```", page.read_text(), re.S)[1]
    for page in sorted((ROOT / "docs" / "moving").glob("*.md"))
} | {example.parent.name: filled(example.read_text()) for example in sorted((DEPLOY / "compose").glob("*/.env.example"))}
# `scripts/test` makes it, for localhost.
CERTIFICATE = ROOT / ".test" / "tls"
SOON = 120.0


@dataclasses.dataclass
class Front:
    """One that runs."""

    kind: str
    origin: str
    authority: pathlib.Path
    process: subprocess.Popen


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def replaced(text, *pairs):
    """Every pair must be found: a test that changes nothing tests something else."""
    for old, new in pairs:
        assert old in text, f"{old!r} is not in the file any more"
        text = text.replace(old, new)
    return text


def address(origin):
    return origin.removeprefix("http://")


def program(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is missing: scripts/test installs it"
    return found


@contextlib.contextmanager
def start(kind, relays, folder):
    """Runs one until the block ends. `relays` are origins."""
    port = free_port()
    command, environment, authority = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy}[kind](
        relays, folder, port
    )
    log = open(folder / "front.log", "w")
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        wait_for(port, authority, process, folder / "front.log")
        yield Front(kind, f"https://localhost:{port}", authority, process)
    finally:
        process.terminate()
        process.wait(SOON)


def wait_for(port, authority, process, log):
    deadline = time.monotonic() + SOON
    while True:
        # Until the certificate is there, too: Caddy makes it after it listens.
        with contextlib.suppress(OSError):
            trust = ssl.create_default_context(cafile=str(authority))
            with socket.create_connection(("127.0.0.1", port)) as stream:
                with trust.wrap_socket(stream, server_hostname="localhost"):
                    return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def nginx(relays, folder, port):
    site = replaced(
        (DEPLOY / "nginx" / "openai-relay.conf").read_text(),
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
        ("/etc/letsencrypt/live/relay.example.com/fullchain.pem", f"{CERTIFICATE}/cert.pem"),
        ("/etc/letsencrypt/live/relay.example.com/privkey.pem", f"{CERTIFICATE}/key.pem"),
        ("server_name relay.example.com;", "server_name localhost;"),
        ("server 127.0.0.1:8080;", "".join(f"server {address(relay)};" for relay in relays)),
    )
    user = "user root;" if os.getuid() == 0 else ""
    places = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{user} pid {folder}/pid; error_log stderr warn; events {{}}\n"
        f"http {{ access_log off; {places}\n{site}\n}}\n"
    )
    command = [program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"]
    return command, {}, CERTIFICATE / "cert.pem"


def caddy(relays, folder, port):
    environment = {
        "RELAY_DOMAIN": "localhost",
        "RELAY_ADDRESS": " ".join(address(relay) for relay in relays),
        "HTTP_PORT": str(free_port()),
        "HTTPS_PORT": str(port),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "HOME": str(folder),
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
    }
    # Caddy makes a certificate for localhost by an authority of its own.
    authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    command = [program("caddy"), "run", "--config", DEPLOY / "caddy" / "Caddyfile"]
    return [*command, "--adapter", "caddyfile"], environment, authority


def haproxy(relays, folder, port):
    both = (CERTIFICATE / "cert.pem").read_text() + (CERTIFICATE / "key.pem").read_text()
    (folder / "relay.pem").write_text(both)
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    servers = [line for line in text.splitlines() if line.strip().startswith("server ")]
    assert len(servers) == 3, "three relays"
    ours = [f"    server relay{number} {address(relay)}" for number, relay in enumerate(relays, 1)]
    text = replaced(
        text,
        ("\n".join(servers), "\n".join(ours)),
        # The file says so itself.
        ("bind :8080\n", f"bind 127.0.0.1:{port} ssl crt {folder}/relay.pem alpn h2,http/1.1\n"),
    )
    (folder / "haproxy.cfg").write_text(text)
    return [program("haproxy"), "-f", folder / "haproxy.cfg", "-db"], {}, CERTIFICATE / "cert.pem"
