"""Measures a binary as an operator would see it, and holds it to the figures of P49: size, start, idle memory.

usage: footprint.py <static binary>
"""

import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20
STARTS = 15
# Figures that must hold.
MOST_START_MS, MOST_IDLE_MIB, MOST_SIZE_MIB = 50, 12, 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(binary, folder):
    """Milliseconds to the first answer, and MiB that are resident a moment later."""
    port = free_port()
    variables = {
        "OPENAI_API_KEY": "sk-not-a-key-0123456789",
        "RELAY_TOKEN": "a-token-that-nobody-sends-0123456789",
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    began = time.perf_counter()
    relay = subprocess.Popen(
        [binary, "serve"], env=variables, cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                stream = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert relay.poll() is None, "it ended"
                time.sleep(0.0005)
        with stream:
            stream.sendall(b"GET /health HTTP/1.1\r\nHost: relay\r\n\r\n")
            assert stream.recv(64).startswith(b"HTTP/1.1 200")
        took_ms = (time.perf_counter() - began) * 1e3
        time.sleep(0.5)
        pages = int(pathlib.Path(f"/proc/{relay.pid}/statm").read_text().split()[1])
        return took_ms, pages * os.sysconf("SC_PAGE_SIZE") / MIB
    finally:
        relay.kill()
        relay.wait()


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    size = binary.stat().st_size / MIB
    with tempfile.TemporaryDirectory() as folder:
        starts = [start(binary, folder) for _ in range(STARTS)]
    took_ms = statistics.median(took for took, _ in starts)
    idle = statistics.median(memory for _, memory in starts)
    measured = f"{took_ms:.0f} ms to the first answer, {idle:.1f} MiB idle, {size:.1f} MiB of binary"
    passed = took_ms < MOST_START_MS and idle < MOST_IDLE_MIB and size < MOST_SIZE_MIB
    print(f"P49  {'pass' if passed else 'FAIL'}  {measured}")
    folder = ROOT / "target" / "trust"
    folder.mkdir(parents=True, exist_ok=True)
    row = {"promise": "P49", "measured": measured, "command": "scripts/image"}
    (folder / "P49-scripts-image.json").write_text(json.dumps(row))
    sys.exit(0 if passed else 1)


main()
