"""A Redis and a Postgres of a test's own, which its relays share."""

import contextlib
import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import fronts

SECRET_KEY = "a-secret-key-for-the-tests-0123456789abcdef"


@contextlib.contextmanager
def start():
    """The variables of relays that share both."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="relay-stores-"))
    redis_port, postgres_port = fronts.free_port(), fronts.free_port()
    redis = [fronts.program("redis-server"), "--bind", "127.0.0.1", "--port", str(redis_port), "--save", "", "--dir", folder]
    running = [subprocess.Popen(redis, stdout=subprocess.DEVNULL)]
    try:
        running.append(postgres(folder, postgres_port))
        for port in (redis_port, postgres_port):
            answers(port)
        yield {
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}",
            "DATABASE_URL": f"postgres://relay@127.0.0.1:{postgres_port}/postgres",
            "SECRET_KEY": SECRET_KEY,
            "RATE_LIMITS": "all=100000/1m",
        }
    finally:
        for process in running:
            # To Postgres SIGTERM means to wait for its clients.
            process.send_signal(signal.SIGINT)
            process.wait(fronts.SOON)
        shutil.rmtree(folder, ignore_errors=True)


def postgres(folder, port):
    """Runs as a user of its own: it refuses to be root."""
    tools = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    own = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        own |= {"user": "postgres", "group": "postgres", "extra_groups": []}
    data = folder / "data"
    subprocess.run([tools / "initdb", "-D", data, "-U", "relay", "--auth=trust", "--encoding=UTF8"], check=True, **own)
    command = [tools / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off"]
    return subprocess.Popen(command, **own)


def answers(port):
    deadline = time.monotonic() + fronts.SOON
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nothing listens on {port}"
        time.sleep(0.05)
