"""The image: a static binary and nothing else, that runs in an empty root that nobody can write to."""

import json
import pathlib
import re
import shutil
import subprocess
import urllib.request

import pytest

import fronts
from conftest import needs_root, run
from fronts import ROOT, program
from pair import RELAY_TOKEN, SERVER_KEY

IMAGE = ROOT / "target" / "image"
FILES = IMAGE / "root"
DOCKERFILE = ROOT / "Dockerfile"


def test_the_binary_is_static_and_the_image_holds_little_else():
    assert "INTERP" not in run(program("readelf"), "--program-headers", FILES / "openai-relay")
    inside = sorted(str(path.relative_to(FILES)) for path in FILES.rglob("*"))
    assert inside == ["etc", "etc/group", "etc/passwd", "openai-relay"]


def test_the_build_gets_every_file_that_it_needs_and_no_secret(tmp_path):
    allowed, denied = [], []
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            allowed.append(line[1:])
        elif line and not line.startswith("#") and line != "*":
            denied.append(line)
    for name in allowed:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("node_modules", "__pycache__")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / name)
    for name in denied:
        shutil.rmtree(tmp_path / name)
    run("cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1", cwd=tmp_path)
    assert not list(tmp_path.rglob(".env*"))
    for source in (tmp_path / "src").rglob("*.rs"):
        for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
            assert (source.parent / included).exists(), f"{source}: {included}"


def test_the_dockerfile_ends_in_an_unprivileged_empty_stage():
    text = DOCKERFILE.read_text()
    last = text[text.rindex("\nFROM ") :]
    assert last.startswith("\nFROM scratch\n")
    for line in (
        "USER 65532:65532",
        "WORKDIR /data",
        "VOLUME /data",
        'ENTRYPOINT ["/openai-relay"]',
        "STOPSIGNAL SIGTERM",
    ):
        assert f"\n{line}\n" in last, line
    assert 'CMD ["/openai-relay", "healthcheck"]' in last
    for flag in ("target-feature=+crt-static", "strip=symbols", "pack-relative-relocs"):
        for script in ("image", "release"):
            assert flag in (ROOT / "scripts" / script).read_text()
    assert "RUN scripts/release " in text


# As container runtimes do it: the files, read-only; /proc, devices, and a volume.
INSIDE = """
set -eu
root=$1
shift
mount -t tmpfs -o size=64m,mode=0755 root "$root"
cp -r "$1"/. "$root"
shift
mkdir "$root/dev" "$root/proc" "$root/data"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind /proc "$root/proc"
mount -t tmpfs -o size=8m,uid=65532,gid=65532,mode=0700 data "$root/data"
mount -o remount,ro "$root"
exec chroot --userspec=65532:65532 "$root" /openai-relay "$@"
"""


@pytest.fixture
def in_empty_root(tmp_path):
    """Makes the command line of a process in the image's files, read-only but for /data, as its user."""
    root = tmp_path / "root"
    root.mkdir()

    def command(*arguments):
        return [program("unshare"), "--mount", "sh", "-c", INSIDE, "sh", root, FILES, *arguments]

    return command


@needs_root
def test_it_serves_from_an_empty_read_only_root_and_checks_its_own_health(fake, relays, in_empty_root):
    port = str(fronts.free_port())
    variables = {
        "OPENAI_API_KEY": SERVER_KEY,
        "OPENAI_BASE_URL": fake.base_url,
        "RELAY_TOKEN": RELAY_TOKEN,
        "PORT": port,
        # Accounts in /data, the one place that can be written.
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "DATABASE_URL": "sqlite:////data/app.db",
    }
    relay = relays(variables, command=in_empty_root("serve"))
    ask = urllib.request.Request(f"{relay.origin}/v1/models")
    ask.add_header("Authorization", f"Bearer {RELAY_TOKEN}")
    with urllib.request.urlopen(ask) as answer:
        assert answer.status == 200
    process = pathlib.Path(f"/proc/{relay.process.pid}/status").read_text()
    assert re.search(r"^Uid:\t65532\t65532", process, re.M), process
    healthy = subprocess.run(in_empty_root("healthcheck"), env={"PORT": port, "HOST": "127.0.0.1"})
    assert healthy.returncode == 0
    relay.process.terminate()
    assert relay.process.wait(60) == 0
    sick = subprocess.run(
        in_empty_root("healthcheck"), env={"PORT": port, "HOST": "127.0.0.1"}, capture_output=True
    )
    assert sick.returncode == 1


@needs_root
def test_names_are_resolved_and_authorities_known_without_any_file(in_empty_root):
    # Nobody answers there; what is told is which step failed.
    variables = {"OPENAI_API_KEY": SERVER_KEY, "OPENAI_BASE_URL": "https://relay.invalid"}
    done = subprocess.run(
        in_empty_root("check"), env={**variables, "HOST": "127.0.0.1"}, capture_output=True, text=True, timeout=60
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "resolve" in said, said


@needs_root
@pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed")
def test_the_last_stage_builds_and_says_what_it_should(tmp_path):
    (tmp_path / "builder").mkdir()
    shutil.copytree(IMAGE, tmp_path / "builder" / "image")
    (tmp_path / "context").mkdir()
    store = ["--root", tmp_path / "store", "--runroot", tmp_path / "run", "--storage-driver", "vfs"]
    buildah = [program("buildah"), *store]
    run(
        *buildah, "build", "--quiet", "--isolation", "chroot", "--format", "docker",
        "--build-context", f"builder={tmp_path}/builder", "-f", DOCKERFILE, "-t", "openai-relay", tmp_path / "context",
    )
    found = json.loads(run(*buildah, "inspect", "--type", "image", "openai-relay"))
    config = found["Docker"]["config"]
    assert (config["User"], config["WorkingDir"]) == ("65532:65532", "/data")
    assert config["Entrypoint"] == ["/openai-relay"] and config["Cmd"] == ["serve"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/openai-relay", "healthcheck"]
    assert list(config["Volumes"]) == ["/data"] and "8080/tcp" in config["ExposedPorts"]
    container = run(*buildah, "from", "openai-relay").strip()
    root = pathlib.Path(run(*buildah, "mount", container).strip())
    inside = {path.relative_to(root).parts[0] for path in root.rglob("*")}
    assert inside <= {"openai-relay", "etc", "data", "dev", "proc", "sys", "run"}, inside
    assert (root / "data").stat().st_uid == 65532
    run(*buildah, "umount", container)
