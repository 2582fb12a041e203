#!/usr/bin/env bash
# run.sh: verdict's synchronous API beside its floor (a bare echo over the same two Kafka hops) and a Python peer, on one machine that holds broker, Redis and load
# generator too, in one run. One markdown table on stdout, with what it was made on; JSON and histograms of every stage in OUT. About 11 minutes; QUICK=1 below 2.
#
#   deploy/bench/run.sh                                   # Kafka and Redis as deploy/dev/broker.sh finds them
#   GOGC=800 LINGER=500us ROUNDS=1 deploy/bench/run.sh    # one knob at a time, two runs, and the ratios of each
#
# Knobs, from the environment:
#   RATES="200 500 1000 2000"  interleaved, ROUNDS=3 times LENGTH=8 s each; the table has the medians
#   RAMP=1000:8000:500         ours and the floor's, RAMP_LENGTH=5 s a rate, until p99 < 80 ms is lost twice; PEER_RAMP=100:1000:100
#   LONG=30                    seconds of the runs at 1,000/s that p99.9 is taken from
#   GOGC, GOMEMLIMIT, GOMAXPROCS  of verdict and the floor; LINGER=0s of their producers; PARTITIONS=4; POLL=500 records
#   ORDERS=SRC                 default: the Handbook's in VERDICT_SHARED, else made up
#   PEER=0                     without the peer; PEER_VENV=DIR keeps its Python between runs
#   OUT=DIR                    default out/bench-TIME
set -euo pipefail

name=bench
source "$(dirname "$0")/common.sh"

if [ -n "${QUICK:-}" ]; then
  : "${ROUNDS:=1}" "${LENGTH:=3}" "${RAMP:=1000:5000:2000}" "${RAMP_LENGTH:=2}" "${PEER_RAMP:=200:600:200}" "${LONG:=5}" "${JVM:=5}"
fi
: "${RATES:=200 500 1000 2000}" "${ROUNDS:=3}" "${LENGTH:=8}" "${RAMP:=1000:8000:500}" "${RAMP_LENGTH:=5}" "${PEER_RAMP:=100:1000:100}" "${LONG:=30}" "${JVM:=20}"
: "${LINGER:=0s}" "${PARTITIONS:=4}" "${POLL:=500}" "${PEER:=1}" "${OUT:=$here/out/bench-$(date +%Y%m%d-%H%M%S)}"
if [ -z "${ORDERS:-}" ] && [ -n "${VERDICT_SHARED:-}" ]; then ORDERS=$VERDICT_SHARED/data/handbook/orders.jsonl.gz; fi
source=(--generate); [ -z "${ORDERS:-}" ] || source=(--orders "$ORDERS")

mkdir -p "$OUT"

# --- what is measured ---

port=$((20000 + RANDOM % 9000))
ours=http://127.0.0.1:$port floor=http://127.0.0.1:$((port + 1)) peer=http://127.0.0.1:$((port + 2))

await() { # URL PID LOG: until it is ready
  for ((i = 0; i < 300; i++)); do
    if curl -fsS -o /dev/null "$1/readyz" 2>/dev/null; then return; fi
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  tail -5 "$3" >&2
  die "$1 is not ready"
}

say "building"
(cd "$here" && go build -o "$work/verdict" ./cmd/verdict && go build -o "$work/floor" ./deploy/bench/floor && go build -o "$work/table" ./deploy/bench/table)

cat > "$work/verdict.yaml" <<YAML
features: $here/deploy/example/handbook.yaml
model: $here/deploy/example/models/handbook/1
policy: $here/deploy/example/policy.yaml
kafka:
  bootstrap_servers: ["$VERDICT_KAFKA"]
  partitions: $PARTITIONS
  replication_factor: 1
  max_poll_records: $POLL
  linger: $LINGER
redis: {addresses: ["$VERDICT_REDIS"], prefix: "bench:"}
api: {listen: "${ours#http://}", wait: 5s}
log: {level: warn}
YAML
"$work/verdict" serve -c "$work/verdict.yaml" 2>"$OUT/verdict.log" & pids+=($!) verdict_pid=$!
"$work/floor" --kafka "$VERDICT_KAFKA" --listen "${floor#http://}" --partitions "$PARTITIONS" --linger "$LINGER" --poll "$POLL" 2>"$OUT/floor.log" & pids+=($!) floor_pid=$!
await "$ours" "$verdict_pid" "$OUT/verdict.log"
await "$floor" "$floor_pid" "$OUT/floor.log"

start_peer() {
  local venv=${PEER_VENV:-$work/venv}
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || return 1
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/deploy/bench/peer/requirements.txt" >"$OUT/peer.log" 2>&1 || return 1
  (cd "$here/deploy/bench/peer" && PYTHONDONTWRITEBYTECODE=1 PEER_REDIS=$VERDICT_REDIS PEER_MODEL=$here/deploy/example/models/handbook/1/model.txt OMP_NUM_THREADS=1 \
    exec "$venv/bin/python" -m uvicorn app:app --workers 2 --loop uvloop --http httptools --no-access-log --log-level warning --port "${peer##*:}") >>"$OUT/peer.log" 2>&1 &
  pids+=($!) peer_pid=$!
}
if [ "$PEER" = 1 ]; then
  if start_peer; then await "$peer" "$peer_pid" "$OUT/peer.log"; else say "no Python peer could be made ($OUT/peer.log): without"; PEER=0; fi
fi

# --- how ---

# The process that listens on a local address, for its processor time and memory; empty when it is elsewhere.
listener() { ss -Hltnp "sport = :${1##*:}" 2>/dev/null | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -1; }
broker_pid=$(listener "$VERDICT_KAFKA") redis_pid=$(listener "$VERDICT_REDIS")
family() { [ -z "${1:-}" ] || { echo "$1"; pgrep -P "$1" || true; }; } # a process and its children: the peer has workers
sum() { awk '{ s += $1 } END { print s + 0 }'; }
ticks() { for p in $(family "${1:-}"); do awk '{ print $14 + $15 }' "/proc/$p/stat" 2>/dev/null || true; done | sum; } # of processor time so far; 0 when unknown
resident() { for p in $(family "${1:-}"); do awk '/^VmRSS/ { print $2 }' "/proc/$p/status" 2>/dev/null || true; done | sum; } # KiB

measure() { # NAME TARGET PID bench's flags...: one run, and what the processes used meanwhile
  local name=$1 url=$2 pid=$3 before after; shift 3
  before="$(ticks "$pid") $(ticks "$broker_pid") $(ticks "$redis_pid")"
  "$work/verdict" bench --target "$url" --kafka "$VERDICT_KAFKA" "${source[@]}" --features "$here/deploy/example/handbook.yaml" --different 50000 --timeout 5s \
    --json "$OUT/$name.json" "$@" >"$OUT/$name.txt" 2>>"$OUT/bench.log" || say "$name: $(tail -1 "$OUT/bench.log")"
  after="$(ticks "$pid") $(ticks "$broker_pid") $(ticks "$redis_pid")"
  printf '%s %s %s %s\n' "$name" "$before" "$after" "$(resident "$pid")" >>"$OUT/usage.txt"
  awk -v n="$name" '/^ +[0-9.]+ +[0-9.]+ / {print "bench: " n, $1 "/s: p50", $4, "p99", $6, "p99.9", $7, "ms"}' "$OUT/$name.txt" >&2
}

say "warming up: the broker's code for $JVM s, then the floor"
measure warm-ours "$ours" "$verdict_pid" --rate 1000 --duration "${JVM}s"
measure warm-floor "$floor" "$floor_pid" --rate 1000 --duration "$((JVM / 4 + 1))s"

for ((round = 1; round <= ROUNDS; round++)); do
  for rate in $RATES; do
    measure "rate-ours-$rate-$round" "$ours" "$verdict_pid" --rate "$rate" --warmup 1s --duration "${LENGTH}s"
    measure "rate-floor-$rate-$round" "$floor" "$floor_pid" --rate "$rate" --warmup 1s --duration "${LENGTH}s"
    if [ "$PEER" = 1 ] && [ "$rate" -le 500 ] && [ "$round" = 1 ]; then
      measure "rate-peer-$rate-$round" "$peer" "$peer_pid" --rate "$rate" --warmup 1s --duration "${LENGTH}s"
    fi
  done
done
measure "long-ours" "$ours" "$verdict_pid" --rate 1000 --warmup 1s --duration "${LONG}s" --plot "$OUT/long-ours.svg"
measure "long-floor" "$floor" "$floor_pid" --rate 1000 --warmup 1s --duration "${LONG}s" --plot "$OUT/long-floor.svg"
hold=(--hold 'p99=80ms,p99=10ms' --warmup 1s)
measure "ramp-ours" "$ours" "$verdict_pid" --ramp "$RAMP" --duration "${RAMP_LENGTH}s" "${hold[@]}" --plot "$OUT/ramp-ours.svg"
measure "ramp-floor" "$floor" "$floor_pid" --ramp "$RAMP" --duration "${RAMP_LENGTH}s" "${hold[@]}" --plot "$OUT/ramp-floor.svg"
if [ "$PEER" = 1 ]; then
  measure "ramp-peer" "$peer" "$peer_pid" --ramp "$PEER_RAMP" --duration "${RAMP_LENGTH}s" "${hold[@]}" --plot "$OUT/ramp-peer.svg"
fi

"$work/table" -ticks "$(getconf CLK_TCK)" \
  -knobs "GOGC=${GOGC:-default} linger=$LINGER partitions=$PARTITIONS poll=$POLL GOMAXPROCS=${GOMAXPROCS:-default} rounds=$ROUNDS×${LENGTH}s commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)" \
  "$OUT" | tee "$OUT/table.md"
say "all of it is in $OUT"
