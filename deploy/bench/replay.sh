#!/usr/bin/env bash
# replay.sh: how many orders a second a replay takes, on one machine and in one run: the Handbook's features and a model of 100 trees from a file and from real topics of 1
# and 8 partitions, the features alone, and the book's way with pandas; then live callers with and without a replay beside them, and whether it touched live's keys.
# One markdown table on stdout. VERDICT_SHARED names the folder with data/handbook; about 6 minutes.
#
#   VERDICT_SHARED=DIR deploy/bench/replay.sh
#
# Knobs: ROUNDS=3 of each, interleaved, medians told; PANDAS_VENV=DIR keeps pandas between runs (PANDAS=0: without); RATE=200 callers a second, LENGTH=20 s, for LIVE=3 pairs
# (LIVE=0: without); PACE=0 orders a second of the replay beside them (0: as fast as it goes).
set -euo pipefail

: "${VERDICT_SHARED:?names the folder with data/handbook}"
name=bench
source "$(dirname "$0")/common.sh"
: "${ROUNDS:=3}" "${PANDAS:=1}" "${RATE:=200}" "${LENGTH:=20}" "${LIVE:=3}" "${PACE:=0}"

data=$VERDICT_SHARED/data/handbook example=$here/deploy/example
zcat "$data/orders.jsonl.gz" >"$work/orders.jsonl"
zcat "$data/labels.jsonl.gz" >"$work/labels.jsonl"
(cd "$here" && go build -o "$work/verdict" ./cmd/verdict && go build -o "$work/load" ./deploy/bench/load)
for n in 1 8; do "$work/load" --kafka "$VERDICT_KAFKA" --topic "history-$n" --partitions "$n" --key customer_id "$work/orders.jsonl" >&2; done
"$work/load" --kafka "$VERDICT_KAFKA" --topic history-labels --partitions 1 --key order_id "$work/labels.jsonl" >&2

# one NAME ARGS...: a replay; keeps orders/s, MB and the digest.
one() {
  local name=$1 out=$work/out
  shift
  rm -rf "$out"
  /usr/bin/time -f '%M' -o "$work/rss" "$work/verdict" replay --features "$example/handbook.yaml" --out "$out" "$@" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
  grep -oE '[0-9]+ orders/s' "$work/said" | tail -1 | cut -d' ' -f1 >>"$work/rate.$name"
  awk '{print int($1 / 1000)}' "$work/rss" >>"$work/memory.$name"
  grep -oE 'digest [0-9a-f]+' "$work/said" | sort -u >>"$work/digest" || true
}
model=(--model "$example/models/handbook/1" --policy "$example/policy.yaml" --write decisions)
file=(--orders "$work/orders.jsonl" --labels "$work/labels.jsonl")
for ((i = 0; i < ROUNDS; i++)); do
  say "round $((i + 1)) of $ROUNDS"
  one file "${file[@]}" "${model[@]}"
  one topic-1 --orders "kafka://$VERDICT_KAFKA/history-1" --labels "kafka://$VERDICT_KAFKA/history-labels" "${model[@]}"
  one topic-8 --orders "kafka://$VERDICT_KAFKA/history-8" --labels "kafka://$VERDICT_KAFKA/history-labels" "${model[@]}"
  one features "${file[@]}" --write features
  one report "${file[@]}" "${model[@]}",report
done
if [ "$PANDAS" != 0 ]; then
  venv=${PANDAS_VENV:-$work/venv}
  [ -x "$venv/bin/python" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet pandas==3.1.1; }
  say pandas
  /usr/bin/time -f '%M' -o "$work/rss" "$venv/bin/python" "$here/deploy/bench/pandas/features.py" "$work/orders.jsonl" "$work/labels.jsonl" "$work/pandas.csv" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
  grep -oE '[0-9]+ orders/s' "$work/said" | cut -d' ' -f1 >"$work/rate.pandas"
  awk '{print int($1 / 1000)}' "$work/rss" >"$work/memory.pandas"
fi

median() { sort -n "$1" | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}'; }
row() { [ ! -s "$work/rate.$1" ] || printf '| %s | %s | %s |\n' "$2" "$(median "$work/rate.$1")" "$(median "$work/memory.$1")"; }
printf '| what | orders/s | MB |\n| --- | --: | --: |\n'
row file 'a file: features, 100 trees, policy, decisions.jsonl'
row topic-1 'the same from a topic of 1 partition'
row topic-8 'the same from a topic of 8 partitions'
row features 'a file: features.csv'
row report 'a file: decisions.jsonl and the report'
row pandas 'pandas: features.csv'
printf '\ndifferent digests in all runs: %s\n' "$(sort -u "$work/digest" | wc -l)"

[ "$LIVE" != 0 ] || exit 0
port=$((20000 + RANDOM % 9000))
cat >"$work/verdict.yaml" <<YAML
features: $example/handbook.yaml
model: $example/models/handbook/1
policy: $example/policy.yaml
kafka:
  bootstrap_servers: ["$VERDICT_KAFKA"]
  replication_factor: 1
redis: {addresses: ["$VERDICT_REDIS"], prefix: "live:"}
api: {listen: "127.0.0.1:$port", wait: 5s}
log: {level: warn}
YAML
"$work/verdict" serve -c "$work/verdict.yaml" 2>"$work/log" &
pids+=($!)
for ((i = 0; i < 300; i++)); do curl -fsS -o /dev/null "http://127.0.0.1:$port/readyz" 2>/dev/null && break; sleep 0.1; done
callers() { # SECONDS: p50 and p99 in ms
  "$work/verdict" bench --target "http://127.0.0.1:$port" --orders "$data/orders.jsonl.gz" --features "$example/handbook.yaml" --different 50000 --timeout 5s \
    --rate "$RATE" --duration "$1s" --json "$work/bench.json" >/dev/null 2>&1
  python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))["stages"][0]["latency_ms"]; print(r["p50"], r["p99"])' "$work/bench.json"
}
state() { "$work/verdict" state -c "$work/verdict.yaml" | sha256sum | cut -c1-16; }
callers 8 >/dev/null
for ((i = 0; i < LIVE; i++)); do
  say "live, pair $((i + 1)) of $LIVE"
  callers "$LENGTH" >>"$work/alone"
  before=$(state)
  (while :; do "$work/verdict" replay --features "$example/handbook.yaml" --out "$work/beside" --rate "$PACE" --orders "kafka://$VERDICT_KAFKA/history-8" --labels "kafka://$VERDICT_KAFKA/history-labels" "${model[@]}" 2>/dev/null; done) &
  beside=$!
  sleep 1
  after=$(state)
  callers "$LENGTH" >>"$work/beside.ms"
  pkill -P "$beside" 2>/dev/null || true
  kill "$beside" 2>/dev/null || true
  wait "$beside" 2>/dev/null || true
  [ "$before" = "$after" ] && echo same >>"$work/keys" || echo "$before $after" >>"$work/keys"
done
printf '\n| %s callers a second | p50 ms | p99 ms |\n| --- | --: | --: |\n' "$RATE"
for kind in alone beside.ms; do
  name='live alone'; [ "$kind" = alone ] || name='beside a replay of the same cluster'
  printf '| %s | %s | %s |\n' "$name" "$(cut -d' ' -f1 "$work/$kind" | sort -n | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}')" "$(cut -d' ' -f2 "$work/$kind" | sort -n | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}')"
done
printf '\nlive state while a replay began, without callers: %s\n' "$(sort -u "$work/keys" | tr '\n' ' ')"
