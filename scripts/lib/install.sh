# Installs what the tests need and the machine lacks. Does nothing where it is there already.
# Sourced by scripts/test, scripts/bench and scripts/release, from the project's root.

apt_updated=no

# Installs Debian packages, or says which ones are missing.
apt_install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "missing, and not installable from here: $*; install them and run this again" >&2
        return 1
    fi
    if [ "$apt_updated" = no ]; then
        apt-get update >.test/logs/apt-update.log 2>&1 || {
            tail -n 20 .test/logs/apt-update.log >&2
            return 1
        }
        apt_updated=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
        >>.test/logs/apt-install.log 2>&1 || {
        tail -n 20 .test/logs/apt-install.log >&2
        return 1
    }
}

install_base() {
    command -v cc >/dev/null || apt_install gcc libc6-dev
    command -v curl >/dev/null || apt_install curl
    rustup component list --installed 2>/dev/null | grep -q clippy ||
        cargo clippy --version >/dev/null || {
        echo "cargo clippy is missing: rustup component add clippy rustfmt" >&2
        return 1
    }
}

install_python() {
    python_packages .test/venv tests/sdk/python/requirements.txt
}

# openai-python as it was in 2025.
install_python_beta() {
    python_packages .test/venv-beta tests/sdk/python-beta/requirements.txt
}

python_packages() {
    command -v python3 >/dev/null || apt_install python3
    local venv="$1" wanted="$2"
    if [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/installed.txt"; then
        return 0
    fi
    rm -rf "$venv"
    python3 -m venv "$venv" >.test/logs/venv.log 2>&1 || {
        rm -rf "$venv"
        apt_install python3-venv
        python3 -m venv "$venv"
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" >.test/logs/pip.log 2>&1 || {
        tail -n 20 .test/logs/pip.log >&2
        return 1
    }
    cp "$wanted" "$venv/installed.txt"
}

install_node() {
    command -v node >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] ||
        apt_install nodejs npm
    local folder=tests/sdk/node
    if [ -d "$folder/node_modules" ] && cmp -s "$folder/package-lock.json" "$folder/node_modules/installed.json"; then
        return 0
    fi
    (cd "$folder" && npm ci --no-audit --no-fund --ignore-scripts) >.test/logs/npm.log 2>&1 || {
        tail -n 20 .test/logs/npm.log >&2
        return 1
    }
    cp "$folder/package-lock.json" "$folder/node_modules/installed.json"
}

# A self-signed pair for relays that speak TLS.
install_certificate() {
    command -v openssl >/dev/null || apt_install openssl
    local folder=.test/tls
    if openssl x509 -in "$folder/cert.pem" -checkend 86400 -noout >/dev/null 2>&1; then
        return 0
    fi
    mkdir -p "$folder"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$folder/key.pem" -out "$folder/cert.pem" \
        2>.test/logs/openssl.log || {
        tail -n 20 .test/logs/openssl.log >&2
        return 1
    }
}

install_chromium() {
    command -v chromium >/dev/null || apt_install chromium
}

install_servers() {
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || apt_install postgresql
    command -v setpriv >/dev/null || apt_install util-linux
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || apt_install nginx-light
    ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || command -v initdb >/dev/null || apt_install postgresql
    command -v redis-server >/dev/null || apt_install redis-server
    command -v ip >/dev/null || apt_install iproute2
    command -v pgrep >/dev/null || apt_install procps
}

# Servers in front, and whatever checks or runs the files in deploy/.
install_deploy() {
    local tool missing=()
    for tool in caddy:caddy haproxy:haproxy promtool:prometheus logrotate:logrotate docker-compose:docker-compose \
        shellcheck:shellcheck buildah:buildah systemd-analyze:systemd readelf:binutils unshare:util-linux file:file; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    if [ "${#missing[@]}" = 0 ]; then
        return 0
    fi
    apt_install "${missing[@]}"
}

# Who the relay is compared with.
install_peers() {
    command -v taskset >/dev/null || apt_install util-linux
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || apt_install nginx-light
    command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || apt_install haproxy
}

# Gateways that it is compared with.
install_gateways() {
    local from=bench/gateways to=.test/gateways
    command -v node >/dev/null || apt_install nodejs npm
    mkdir -p "$to"
    cp -r "$from/node" "$from/fastapi" "$from/litellm" "$to"
    python_packages "$to/venv" "$from/requirements.txt"
    (cd "$to/node" && npm ci --no-audit --no-fund --ignore-scripts) >.test/logs/npm-gateways.log 2>&1 || {
        tail -n 20 .test/logs/npm-gateways.log >&2
        return 1
    }
}
