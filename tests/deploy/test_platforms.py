"""Files for hosting platforms: well-formed, with routes and variables that there are, and time to drain."""

import json
import re
import tomllib

import yaml

from conftest import run
from fronts import DEPLOY, ROOT, program

PLATFORMS = DEPLOY / "platforms"
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m|)", str(text)).groups()
    return int(number) * (60 if unit == "m" else 1)


def check(variables, grace):
    """The drain ends before the platform kills."""
    for name in variables:
        assert f"`{name}`" in CONFIGURATION, name
    assert seconds(variables.get("DRAIN_TIMEOUT", "30")) < grace
    assert variables.get("RELAY_ENV", "production") == "production"


def test_railway():
    deploy = json.loads((PLATFORMS / "railway.json").read_text())["deploy"]
    assert deploy["healthcheckPath"] == "/ready"
    check({}, deploy["drainingSeconds"])


def test_render():
    [service] = yaml.safe_load((PLATFORMS / "render.yaml").read_text())["services"]
    assert (service["type"], service["runtime"], service["healthCheckPath"]) == ("web", "docker", "/ready")
    variables = {one["key"]: one.get("value", "") for one in service["envVars"]}
    check(variables, service["maxShutdownDelaySeconds"])


def test_fly():
    config = tomllib.loads((PLATFORMS / "fly.toml").read_text())
    assert str(config["http_service"]["internal_port"]) == config["env"]["PORT"]
    assert config["http_service"]["checks"][0]["path"] == "/ready"
    assert config["env"]["METRICS_ADDRESS"].endswith(f":{config['metrics']['port']}")
    assert config["kill_signal"] == "SIGTERM"
    check(config["env"], seconds(config["kill_timeout"]))


def test_digitalocean():
    [service] = yaml.safe_load((PLATFORMS / "digitalocean-app.yaml").read_text())["services"]
    variables = {one["key"]: one["value"] for one in service["envs"]}
    assert str(service["http_port"]) == variables["PORT"]
    assert service["health_check"]["http_path"] == "/ready"
    check(variables, service["termination"]["grace_period_seconds"])


def test_ecs():
    task = json.loads((PLATFORMS / "ecs-task.json").read_text())
    [container] = task["containerDefinitions"]
    variables = {one["name"]: one["value"] for one in container["environment"]}
    assert str(container["portMappings"][0]["containerPort"]) == variables["PORT"]
    assert container["readonlyRootFilesystem"] and container["user"] == "65532:65532"
    check(variables | {one["name"]: "" for one in container["secrets"]}, container["stopTimeout"])


def test_cloud_run():
    template = yaml.safe_load((PLATFORMS / "cloudrun.yaml").read_text())["spec"]["template"]["spec"]
    assert template["timeoutSeconds"] == 3600
    [container] = template["containers"]
    assert container["startupProbe"]["httpGet"]["path"] == "/ready"
    variables = {one["name"]: one.get("value", "") for one in container["env"]}
    # Cloud Run kills 10 s after it asked to stop.
    check(variables, 10)


def test_prometheus_reads_the_alerts_and_every_query_of_the_dashboard(tmp_path):
    alerts = DEPLOY / "prometheus" / "alerts.yml"
    run(program("promtool"), "check", "rules", alerts)
    dashboard = json.loads((DEPLOY / "grafana" / "openai-relay.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 20
    rules = [
        {"record": f"test:{number}", "expr": re.sub(r"\$\w+", ".*", query.replace("$__rate_interval", "5m"))}
        for number, query in enumerate(queries)
    ]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    run(program("promtool"), "check", "rules", tmp_path / "queries.yml")


def test_prometheus_reads_what_the_page_on_metrics_shows(tmp_path):
    snippets = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "metrics.md").read_text(), re.S)
    assert len(snippets) == 2
    production = yaml.safe_load((DEPLOY / "compose" / "production" / "docker-compose.yml").read_text())
    port = int(production["services"]["relay"]["environment"]["METRICS_ADDRESS"].rsplit(":", 1)[1])
    found = yaml.safe_load(snippets[1])["scrape_configs"][0]["dns_sd_configs"][0]
    assert (found["names"], found["port"]) == (["relay"], port)
    for snippet in snippets:
        (tmp_path / "prometheus.yml").write_text(snippet)
        run(program("promtool"), "check", "config", "--syntax-only", tmp_path / "prometheus.yml")
