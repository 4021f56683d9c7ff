# Sourced by the scripts beside it; sets `root` to the repository and goes there.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

# Debian keeps servers where the PATH of ordinary users does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Outside git and kept: real clients and container images that tests need.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/causeway

# Where cargo builds: the environment or cargo's own settings may have moved it.
target=$(cargo metadata --format-version 1 --no-deps 2>/dev/null | grep -o '"target_directory":"[^"]*"' | cut -d '"' -f 4) ||
    target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# as_root COMMAND...: runs it as root; false if that is not possible.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# need PACKAGE...: installs the Debian packages that are missing. Services in them are not started: their ports are
# ours to choose.
need() {
    local package missing=()
    # Not Debian: go on, and whoever misses a program says which.
    command -v dpkg-query >/dev/null || return 0
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    say "installing ${missing[*]}"
    # shellcheck disable=SC2016
    as_root env DEBIAN_FRONTEND=noninteractive bash -c '
        set -eu
        if [[ ! -e /usr/sbin/policy-rc.d ]]; then
            printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
            chmod +x /usr/sbin/policy-rc.d
            trap "rm -f /usr/sbin/policy-rc.d" EXIT
        fi
        wait_for_others="-o DPkg::Lock::Timeout=300"
        apt-get $wait_for_others update -qq
        apt-get $wait_for_others install -y -qq --no-install-recommends "$@"
    ' need "${missing[@]}" >"${TMPDIR:-/tmp}/causeway-apt.$$" 2>&1 </dev/null || {
        tail -n 3 "${TMPDIR:-/tmp}/causeway-apt.$$" >&2 || true
        rm -f "${TMPDIR:-/tmp}/causeway-apt.$$"
        die "cannot install: run 'apt-get update && apt-get install ${missing[*]}' as root, then try again"
    }
    rm -f "${TMPDIR:-/tmp}/causeway-apt.$$"
}

need_command() {
    command -v "$1" >/dev/null || die "$1 is missing: $2"
}

is_port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
is_port_free() { ! is_port_taken "$1"; }

# Below the range that the kernel gives to outgoing connections.
free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        is_port_free "$port" && break
    done
    say "$port"
}

# wait_until SECONDS COMMAND...: repeats it until it succeeds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# as_user USER COMMAND...: becomes the command, which is stopped when this script dies, however it dies, and which a
# Ctrl-C in the terminal does not reach, because the script stops its children in order. Root becomes USER; anybody else
# stays who they are, and so does the command when USER is empty.
as_user() {
    local user=$1 become=()
    shift
    if [[ $EUID -eq 0 && -n $user ]]; then
        become=(--reuid="$user" --regid="$(id -g "$user")" --clear-groups)
    fi
    exec setsid setpriv "${become[@]}" --pdeathsig INT "$@"
}

# own USER PATH: makes PATH belong to the user that `as_user USER` becomes.
own() {
    if [[ $EUID -eq 0 ]]; then chown -R "$1:" "$2"; fi
}

postgres_bin() {
    local found
    found=$(find /usr/lib/postgresql/*/bin -name initdb 2>/dev/null | sort -V | tail -n 1)
    if [[ -z $found ]]; then found=$(command -v initdb) || die "initdb is missing: install postgresql"; fi
    dirname "$(realpath "$found")"
}

# init_postgres DIR: an empty database cluster, superuser `postgres`, no passwords. DIR belongs to `own postgres` already.
init_postgres() {
    (
        cd /
        as_user postgres "$(postgres_bin)/initdb" --pgdata="$1" --username=postgres --auth=trust --encoding=UTF8 \
            --locale=C --no-instructions
    ) >"$1.log" 2>&1 || die "initdb failed: $(tail -n 1 "$1.log")"
}

# run_postgres DIR PORT [SETTING]...: becomes a server on the loopback address only.
run_postgres() {
    local dir=$1 port=$2 setting settings=()
    shift 2
    for setting in "$@"; do settings+=(-c "$setting"); done
    cd /
    LC_ALL=C as_user postgres "$(postgres_bin)/postgres" -D "$dir" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= "${settings[@]}"
}

# sql URL STATEMENT
sql() { "$(postgres_bin)/psql" --no-psqlrc --quiet --tuples-only --no-align -v ON_ERROR_STOP=1 "$1" -c "$2"; }

# is_running PID_FILE: a process of that number lives. Zombies do not count.
is_running() {
    local pid
    [[ -e $1 ]] && pid=$(<"$1") && [[ -n $pid ]] && ! grep -qs '^State:.Z' "/proc/$pid/status" && kill -0 "$pid" 2>/dev/null
}

none_running() {
    local file
    for file in "$@"; do
        if is_running "$file"; then return 1; fi
    done
}

# The nodes of `make cluster`, by number from 1.
cluster_node_name() { say "node-$(printf '%s' "$1" | tr 123 abc)"; }
cluster_node_number() { printf '%s' "${1#node-}" | tr abc 123; }
cluster_mqtt_port() { say $((18830 + $1)); }
cluster_ws_port() { say $((18840 + $1)); }
cluster_http_port() { say $((18080 + $1)); }
