"""A stand-in upstream and a relay in front of it, as processes; the SDK's clients point at the relay."""

import os
import sys

import openai
import pytest

from pair import RELAY_TOKEN, ROOT, Pair

sys.path.insert(0, str(ROOT / "tests" / "deploy"))
import fronts


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """With FRONT=nginx (caddy, haproxy) the clients talk to that, over TLS; haproxy has three relays behind it."""
    folder = tmp_path_factory.mktemp
    pair = Pair(folder("relay"))
    if front := os.environ.get("FRONT"):
        others = [pair.another(folder("relay")) for _ in range(2 if front == "haproxy" else 0)]
        with fronts.start(front, [pair.origin, *others], folder(front)) as running:
            os.environ["SSL_CERT_FILE"] = str(running.authority)
            pair.origin = running.origin
            pair.base_url = f"{running.origin}/v1"
            yield pair
    else:
        yield pair
    pair.stop()


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
