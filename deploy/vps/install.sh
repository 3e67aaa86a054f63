#!/bin/sh
# Installs openai-relay as a service on a machine with systemd: binary, unit, configuration, token, log rotation. Run it again to
# update the binary or the unit: what you have configured stays.
#
#   sudo deploy/vps/install.sh                          target/release/openai-relay, or the one beside this script
#   sudo deploy/vps/install.sh --binary ./openai-relay --env ./.env
#   sudo deploy/vps/install.sh --ufw                    also opens 22, 80 and 443 in ufw, and turns it on
#   deploy/vps/install.sh --prefix /tmp/tree            into a folder, starting nothing (packages, tests)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
deploy=$(dirname "$here")
prefix=
binary=
env_file=
ufw=no
while [ $# -gt 0 ]; do
    case "$1" in
    --prefix) prefix=${2%/}; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    --env) env_file=$2; shift 2 ;;
    --ufw) ufw=yes; shift ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
done

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

if [ -z "$binary" ]; then
    for place in "$here/openai-relay" "$deploy/../target/release/openai-relay"; do
        if [ -x "$place" ]; then
            binary=$place
            break
        fi
    done
fi
[ -n "$binary" ] || fail "no binary: build one with cargo build --release, or name one with --binary"
[ -x "$binary" ] || fail "$binary is not a program"
version=$("$binary" --version) || fail "$binary does not run on this machine"
[ -n "$prefix" ] || [ "$(id -u)" = 0 ] || fail "this needs root (or --prefix)"

# Copies a file beside its place and moves it there, so that nothing ever runs half of it. Says whether it changed.
put() {
    from=$1 to=$prefix$2 mode=$3
    if cmp -s "$from" "$to"; then
        return 1
    fi
    mkdir -p "$(dirname "$to")"
    cp "$from" "$to.new"
    chmod "$mode" "$to.new"
    mv -f "$to.new" "$to"
    say "wrote $to"
}

changed=no
put "$binary" /usr/local/bin/openai-relay 0755 && changed=yes
put "$deploy/systemd/openai-relay.service" /etc/systemd/system/openai-relay.service 0644 && changed=yes
put "$deploy/logrotate/openai-relay" /etc/logrotate.d/openai-relay 0644 || true

# The configuration is yours: written once, never again.
config=$prefix/etc/openai-relay/env
if [ -n "$env_file" ] && [ -e "$config" ]; then
    say "kept $config; --env is for the first time"
elif [ ! -e "$config" ]; then
    mkdir -p "$(dirname "$config")"
    chmod 0700 "$(dirname "$config")"
    umask 077
    if [ -n "$env_file" ]; then
        # systemd takes all that stands behind the equals sign.
        ! grep -nE '^[A-Za-z_]+=[^"]*[[:space:]]#' "$env_file" >&2 ||
            fail "$env_file: put these comments on lines of their own"
        cp "$env_file" "$config.new"
    else
        token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
        {
            say "# Read by openai-relay.service; docs/configuration.md has every variable."
            say "OPENAI_API_KEY="
            say "RELAY_TOKEN=$token"
            say "RELAY_ENV=production"
            say "# nginx or Caddy in front speaks TLS."
            say "HOST=127.0.0.1"
        } >"$config.new"
    fi
    mv "$config.new" "$config"
    chmod 0600 "$config"
    say "wrote $config"
    changed=yes
fi

if [ "$ufw" = yes ]; then
    command -v ufw >/dev/null || fail "ufw is not installed"
    for port in 22 80 443; do
        ufw allow "$port/tcp"
    done
    ufw --force enable
fi

say "$version is in place"
if [ -n "$prefix" ]; then
    exit 0
fi
if ! [ -d /run/systemd/system ]; then
    say "systemd does not run here: start $prefix/usr/local/bin/openai-relay yourself"
    exit 0
fi
systemctl daemon-reload
if ! grep -q '^OPENAI_API_KEY=.' "$config" && ! grep -q '^OPENAI_API_KEY_FILE=.' "$config"; then
    systemctl enable openai-relay.service
    say "put your key behind OPENAI_API_KEY= in $config, then: systemctl start openai-relay"
    exit 0
fi
systemctl enable openai-relay.service
if [ "$changed" = yes ]; then
    # Drains first: running exchanges finish.
    systemctl restart openai-relay.service
fi
systemctl --no-pager --lines=0 status openai-relay.service
say "try it: curl http://127.0.0.1:8080/v1/models -H \"Authorization: Bearer \$(sed -n 's/^RELAY_TOKEN=//p' $config)\""
