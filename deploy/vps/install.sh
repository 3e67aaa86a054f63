#!/bin/sh
# Installs openai-relay as a service on a machine with systemd: binary, unit, configuration, token, log rotation. Run it again to
# update the binary or the unit: what you have configured stays.
#
#   sudo deploy/vps/install.sh                          target/release/openai-relay, or the one beside this script
#   sudo deploy/vps/install.sh --binary ./openai-relay --env ./.env
#   sudo deploy/vps/install.sh --ufw                    also opens 22, 80 and 443 in ufw, and turns it on
#   deploy/vps/install.sh --prefix /tmp/tree            into a folder, starting nothing (packages, tests)
set -eu

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

here=$(cd "$(dirname "$0")" && pwd)
deploy=$(dirname "$here")
prefix=
binary=
env_file=
ufw=no
while [ $# -gt 0 ]; do
    case "$1" in
    --prefix | --binary | --env) [ $# -ge 2 ] || usage ;;
    esac
    case "$1" in
    --prefix) prefix=${2%/}; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    --env) env_file=$2; shift 2 ;;
    --ufw) ufw=yes; shift ;;
    *) usage ;;
    esac
done
config=$prefix/etc/openai-relay/env

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

# Names the lines of a .env file that systemd would read in another way than the relay, never what they hold.
foreign_lines() {
    awk '
    function fault(words) { printf "  line %d%s: %s\n", NR, name == "" ? "" : " (" name ")", words }
    { sub(/\r$/, ""); name = "" }
    /^[ \t]*(#|$)/ { next }
    /^[ \t]*export[ \t]/ { fault("leave `export` out"); next }
    !/^[ \t]*[A-Za-z_][A-Za-z0-9_]*[ \t]*=/ { fault("write it as NAME=value"); next }
    {
        value = substr($0, index($0, "=") + 1)
        name = substr($0, 1, index($0, "=") - 1)
        gsub(/[ \t]/, "", name)
        bare = value !~ /^["\047`]/
        closed = value ~ /^"[^"\\]*"[ \t]*$/ || value ~ /^\047[^\047\\]*\047[ \t]*$/
    }
    /^[ \t]/ || !/^[A-Za-z0-9_]+=([^ \t]|$)/ { fault("leave out the space before the name and around the equals sign"); next }
    bare ? value ~ /[ \t]#/ : value ~ /^("[^"]*"|\047[^\047]*\047)[ \t]+#/ { fault("put the comment on a line of its own"); next }
    bare ? value ~ /\\/ : !closed { fault("put the value between single quotes, without a backslash or another quote") }
    ' "$1"
}

# All that can be wrong with your configuration is found before anything is written.
if [ -n "$env_file" ]; then
    [ -f "$env_file" ] || fail "$env_file: there is no such file"
    [ -r "$env_file" ] || fail "$env_file cannot be read"
    foreign=$(foreign_lines "$env_file")
    [ -z "$foreign" ] || fail "$env_file is not written as systemd reads it:
$foreign"
fi

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

# Whether the configuration gives a variable a value, itself or by a file.
is_set() { grep -qE "^$1(_FILE)?=[\"']?[^\"']" "$config"; }
# The value of a variable that is a single word.
word() { sed -n "s/^$1=[\"']\{0,1\}\([^\"' ]*\).*/\1/p" "$config" | tail -n 1; }

changed=no
put "$binary" /usr/local/bin/openai-relay 0755 && changed=yes
put "$deploy/systemd/openai-relay.service" /etc/systemd/system/openai-relay.service 0644 && changed=yes
put "$here/openai-relay-ctl" /usr/local/sbin/openai-relay-ctl 0755 || true
put "$deploy/logrotate/openai-relay" /etc/logrotate.d/openai-relay 0644 || true

# The configuration is yours: written once, never again.
if [ -n "$env_file" ] && [ -e "$config" ]; then
    say "kept $config; --env is for the first time"
elif [ ! -e "$config" ]; then
    mkdir -p "$(dirname "$config")"
    chmod 0700 "$(dirname "$config")"
    umask 077
    if [ -n "$env_file" ]; then
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
    is_set HOST || say "it listens on every address; with nginx or Caddy on this machine add HOST=127.0.0.1 there"
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
# Pages with ephemeral tokens of their own need none; deploy/systemd/credentials.conf brings it as a file.
usable=yes
if ! is_set OPENAI_API_KEY && ! is_set ALLOWED_ORIGINS &&
    ! grep -rqs OPENAI_API_KEY "$prefix/etc/systemd/system/openai-relay.service.d"; then
    usable=no
    say "put your key behind OPENAI_API_KEY= in $config, then: systemctl start openai-relay"
fi
if [ -z "$prefix" ] && ! [ -d /run/systemd/system ]; then
    say "systemd does not run here: start /usr/local/bin/openai-relay yourself"
elif [ -z "$prefix" ]; then
    systemctl daemon-reload
    systemctl enable openai-relay.service
    if [ "$usable" = yes ]; then
        # Drains first: running exchanges finish.
        [ "$changed" = no ] || systemctl restart openai-relay.service
        systemctl --no-pager --lines=0 status openai-relay.service
    fi
fi
[ "$usable" = yes ] || exit 0
port=$(word PORT)
scheme=http
! is_set TLS_CERT || scheme=https
origin=$scheme://127.0.0.1:${port:-8080}
if [ -n "$(word RELAY_TOKEN)" ]; then
    say "try it: curl $origin/v1/models -H \"Authorization: Bearer \$(sed -n 's/^RELAY_TOKEN=//p' $config | tr -d \\\"\\')\""
else
    say "try it: curl $origin/health"
fi
say "who may do what: openai-relay-ctl check"
