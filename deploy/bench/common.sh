# common.sh: what the benches begin with; sourced, with "name" set. Runs the bench again inside deploy/dev/broker.sh where it is not there yet (BROKER_RUN before it, such as
# taskset), and gives it: here, say, die, work (a folder, removed at the end), pids (ended at the end).
here=$(cd "$(dirname "$0")/../.." && pwd)
say() { printf '%s: %s\n' "$name" "$*" >&2; }
die() { say "$*"; exit 1; }

if [ -z "${VERDICT_BENCH_INSIDE:-}" ]; then
  # Orders of the last minutes all stand in Redis, each with its decision: more than the tests leave there.
  export VERDICT_BENCH_INSIDE=1 VERDICT_REDIS_MAXMEMORY=${VERDICT_REDIS_MAXMEMORY:-6gb}
  # shellcheck disable=SC2086 # words
  exec ${BROKER_RUN:-} "$here/deploy/dev/broker.sh" "$here/deploy/bench/$(basename "$0")" "$@"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/verdict-bench.XXXXXX")
pids=()
finish() {
  local code=$?
  trap - EXIT
  if [ ${#pids[@]} -gt 0 ]; then kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
