"""A stand-in upstream and a relay in front of it, as processes; the SDK's clients point at the relay."""

import contextlib
import os
import sys

import openai
import pytest

from pair import RELAY_TOKEN, ROOT, Pair

sys.path.insert(0, str(ROOT / "tests" / "deploy"))
import fronts
import stores


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """With FRONT=nginx (caddy, haproxy) the clients talk to that, over TLS; haproxy has three relays behind it, which share a
    Redis and a Postgres."""
    folder = tmp_path_factory.mktemp
    front = os.environ.get("FRONT")
    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(stores.start()) if front == "haproxy" else {}
        pair = Pair(folder("relay"), shared)
        stack.callback(pair.stop)
        if front:
            others = [pair.another(folder("relay")) for _ in range(2 if front == "haproxy" else 0)]
            running = stack.enter_context(fronts.start(front, [pair.origin, *others], folder(front)))
            os.environ["SSL_CERT_FILE"] = str(running.authority)
            pair.origin = running.origin
            pair.base_url = f"{running.origin}/v1"
        yield pair


@pytest.fixture(autouse=True)
def _log_on_failure(request, pair):
    pair.reset()
    yield
    report = getattr(request.node, "report", None)
    if report is not None and report.failed:
        print("".join(pair.log[-20:]))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.report = report


@pytest.fixture
def client(pair):
    with openai.OpenAI(base_url=pair.base_url, api_key=RELAY_TOKEN) as client:
        yield client


@pytest.fixture
def once(pair):
    """A client that does not retry."""
    with openai.OpenAI(base_url=pair.base_url, api_key=RELAY_TOKEN, max_retries=0) as client:
        yield client
