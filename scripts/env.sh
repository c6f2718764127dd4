# Sourced by the scripts beside it: where things are, and how they speak.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
cache=$root/.cache
tools=$cache/tools
mkdir -p "$cache"
export PATH="$tools/bin:$PATH"
# The servers that they start keep little in reserve: a laptop with a few free gigabytes shows and tests as well as any.
export THEATRUM_STORAGE__RESERVE_BYTES=${THEATRUM_STORAGE__RESERVE_BYTES:-67108864}
# These scripts speak to the servers they start, never to one that the caller works with, and never through a proxy.
unset THEATRUM_URL THEATRUM_TOKEN
no_proxy=127.0.0.1,localhost,${no_proxy:-${NO_PROXY:-}}
export no_proxy NO_PROXY=$no_proxy

if [[ -t 2 ]]; then say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }; else say() { printf '%s\n' "$*" >&2; }; fi
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The first of the given ports, or of those two and more above it, that nothing listens on.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 2)); done
  echo "$port"
}

# json_field NAME: the value of a string or number field of the JSON on standard input, which has no nested field of that name.
json_field() { tr -d '\n' | sed -nE "s/.*\"$1\": *(\"([^\"]*)\"|([0-9]+)).*/\2\3/p"; }

# start_server BINARY DATA LOG [OPTION…]: starts the server, waits until it is ready, sets server_pid and server_url.
start_server() {
  local binary=$1 data=$2 log=$3
  shift 3
  mkdir -p "$data"
  server_field() { cat "$data/server.json" 2>/dev/null | json_field "$1" || true; }
  "$binary" serve --data "$data" "$@" >"$log" 2>&1 &
  server_pid=$!
  for _ in $(seq 300); do
    if ! kill -0 "$server_pid" 2>/dev/null; then
      tail -n 20 "$log" >&2
      die "the server ended before it was ready; its log is $log"
    fi
    server_url=$(server_field url)
    if [[ $(server_field pid) == "$server_pid" ]] && curl -fsS -o "$cache/readyz" "$server_url/readyz" 2>/dev/null; then return; fi
    sleep 0.1
  done
  tail -n 20 "$log" >&2
  die "the server was not ready within 30 s; its log is $log"
}

# Asks the server to drain and waits for it.
stop_server() {
  [[ -n ${server_pid:-} ]] || return 0
  kill -TERM "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=
}
