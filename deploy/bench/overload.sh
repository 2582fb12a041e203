#!/usr/bin/env bash
# overload.sh: ten times what verdict can decide, for five minutes (FAULTS F31, promise 5). Broker, Redis and verdict share one core, the load has the other, as if
# it came from another machine. Prints how many orders a second were decided and how fast the others were refused, and verdict's memory every ten seconds.
#
#   deploy/bench/overload.sh                        # Kafka and Redis as deploy/dev/broker.sh finds them; Linux (taskset)
#   BASE=500 TIMES=10 LENGTH=300s deploy/bench/overload.sh
#
# What is refused takes processor time too, from what decides when that is all that bounds it. POLL=4 bounds what is decided by the size of a step (kafka.max_poll_records), as
# a scorer elsewhere would.
#
# Knobs: RAMP=100:3000:100 finds the capacity at p99 < 80 ms, where BASE is not given; TIMES=10; LENGTH=300s;
# POLL=500; CORES=0 of verdict, LOAD_CORES=1; OUT=DIR (out/overload-TIME).
set -euo pipefail

: "${CORES:=0}" "${LOAD_CORES:=1}" "${RAMP:=100:3000:100}" "${TIMES:=10}" "${LENGTH:=300s}" "${POLL:=500}"

name=overload BROKER_RUN="taskset -c $CORES"
source "$(dirname "$0")/common.sh"
: "${OUT:=$here/out/overload-$(date +%Y%m%d-%H%M%S)}"

mkdir -p "$OUT"

(cd "$here" && taskset -c "$CORES,$LOAD_CORES" go build -o "$work/verdict" ./cmd/verdict)
address=127.0.0.1:$((20000 + RANDOM % 9000))
example=$here/deploy/example
cat >"$work/verdict.yaml" <<YAML
features: $example/handbook.yaml
model: $example/models/handbook/1
policy: $example/policy.yaml
kafka: {bootstrap_servers: ["$VERDICT_KAFKA"], replication_factor: 1, max_poll_records: $POLL}
redis: {addresses: ["$VERDICT_REDIS"]}
api: {listen: "$address"}
YAML
"$work/verdict" serve -c "$work/verdict.yaml" >"$OUT/serve.log" 2>&1 &
serving=$!
pids+=("$serving")
for ((i = 0; ; i++)); do
  if curl -fsS -o /dev/null "http://$address/readyz" 2>/dev/null; then break; fi
  if [ $i -gt 300 ] || ! kill -0 "$serving"; then tail "$OUT/serve.log"; die 'verdict did not start'; fi
  sleep 0.1
done

load() { taskset -c "$LOAD_CORES" "$work/verdict" bench --target "http://$address" --generate --json "$OUT/$1.json" "${@:2}"; }

load warm --rate 200 --duration 10s >/dev/null
if [ -z "${BASE:-}" ]; then
  load ramp --ramp "$RAMP" --duration 5s --hold p99=80ms | tee "$OUT/ramp.txt"
  BASE=$(sed -n 's|^p99=80ms is held up to \([0-9]*\)/s.*|\1|p' "$OUT/ramp.txt")
  [ "${BASE:-0}" -gt 0 ] || die 'no rate held p99 < 80 ms'
fi
load before --rate "$BASE" --duration 30s
( while sleep 10; do awk '/VmRSS/ { printf "%.0f MiB resident\n", $2 / 1024 }' "/proc/$serving/status"; done ) >"$OUT/memory.txt" 2>/dev/null &
pids+=($!)
load overload --rate $((BASE * TIMES)) --duration "$LENGTH"
load after --rate "$BASE" --duration 30s
say "memory, every ten seconds: $(tr '\n' ' ' <"$OUT/memory.txt")"
