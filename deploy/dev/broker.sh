#!/usr/bin/env bash
# broker.sh COMMAND [ARG...]: runs COMMAND with a real Kafka and a real Redis, told by VERDICT_KAFKA and VERDICT_REDIS (host:port), and ends
# afterwards what it started, and only that. What is set already is used as it is: VERDICT_KAFKA=localhost:9092 broker.sh ...
#
# Kafka comes from the first of: VERDICT_KAFKA_LOCAL (a script that takes start|wipe --port P --dir D: KRaft from Maven's jars, needs Java 17),
# $VERDICT_SHARED/tools/kafka-local.sh, docker compose. Redis from redis-server on the PATH, else docker compose.
set -euo pipefail

say() { printf 'broker: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[ $# -ge 1 ] || die "what is to be run? broker.sh COMMAND [ARG...]"

here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/verdict-broker.XXXXXX")
kafka_local=${VERDICT_KAFKA_LOCAL:-${VERDICT_SHARED:+$VERDICT_SHARED/tools/kafka-local.sh}}
redis_pid='' containers=()

finish() {
  local code=$?
  trap - EXIT INT TERM
  [ ! -f "$work/kafka/cluster" ] || bash "$kafka_local" wipe --dir "$work/kafka" || say "the Kafka of $work/kafka did not end"
  if [ -n "$redis_pid" ]; then kill "$redis_pid" 2>/dev/null || true; wait "$redis_pid" 2>/dev/null || true; fi
  [ ${#containers[@]} -eq 0 ] || compose down --volumes >&2 || true
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A project of its own beside the one of `make up`. The ports are those of the compose file, so the two cannot run at once; compose says so.
compose() { docker compose --project-name verdict-broker --file "$here/docker-compose.yml" "$@"; }
have_compose() { command -v docker >/dev/null && docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; }

busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port P with P and P+100 free (Kafka's controller takes the second), below the range from which outgoing connections are numbered.
free_port() {
  local p i
  for ((i = 0; i < 100; i++)); do
    p=$((20000 + RANDOM % 10000))
    if ! busy "$p" && ! busy $((p + 100)); then printf '%s' "$p"; return; fi
  done
  die "no free port"
}

if [ -z "${VERDICT_KAFKA:-}" ]; then
  if [ -n "$kafka_local" ] && [ -f "$kafka_local" ] && command -v java >/dev/null; then
    line=$(bash "$kafka_local" start --port "$(free_port)" --dir "$work/kafka")
    VERDICT_KAFKA=${line#bootstrap=}
  elif have_compose; then
    containers+=(kafka)
    compose up --detach --wait kafka >&2
    VERDICT_KAFKA=localhost:9092
  else
    die "no Kafka: set VERDICT_KAFKA=host:port, or VERDICT_KAFKA_LOCAL to a kafka-local.sh (needs Java 17), or have docker compose"
  fi
fi

if [ -z "${VERDICT_REDIS:-}" ]; then
  if command -v redis-server >/dev/null; then
    port=$(free_port)
    # No eviction, as in production: a full Redis must say so and not forget who was counted.
    redis-server --bind 127.0.0.1 --port "$port" --dir "$work" --save '' --appendonly no --maxmemory "${VERDICT_REDIS_MAXMEMORY:-2gb}" --maxmemory-policy noeviction \
      >"$work/redis.log" 2>&1 &
    redis_pid=$!
    for ((i = 0; i < 100; i++)); do busy "$port" && break; sleep 0.1; done
    if ! busy "$port" || ! kill -0 "$redis_pid" 2>/dev/null; then cat "$work/redis.log" >&2; die "redis-server did not start"; fi
    VERDICT_REDIS=127.0.0.1:$port
  elif have_compose; then
    containers+=(redis)
    compose up --detach --wait redis >&2
    VERDICT_REDIS=localhost:6379
  else
    die "no Redis: set VERDICT_REDIS=host:port, or install redis-server, or have docker compose"
  fi
fi

export VERDICT_KAFKA VERDICT_REDIS
say "Kafka $VERDICT_KAFKA, Redis $VERDICT_REDIS"
"$@"
