#!/usr/bin/env bash
# ./run-pipeline.sh [SERVICE...]: brings up these alone, by default all.
# Build, test, scan, bring up, verify, report. Each step's outcome and time are shown, and what a step printed is
# in .lab/pipeline/. It goes on after a step that fails, except where the next one makes no sense without it;
# its status is 0 only if no step failed. The lab stays up if it was brought up.
set -uo pipefail
cd "$(dirname "$0")"
results=.lab/pipeline
mkdir -p "$results"
names=() outcomes=() times=()
failed=0

step() { # NAME COMMAND...
    local name=$1 began=$SECONDS outcome=ok
    shift
    printf '%-8s ' "$name"
    if ! "$@" >"$results/$name.log" 2>&1; then
        outcome=FAILED
        failed=1
    fi
    names+=("$name") outcomes+=("$outcome") times+=($((SECONDS - began)))
    printf '%-6s %4d s\n' "$outcome" $((SECONDS - began))
    if [ "$outcome" = FAILED ]; then
        tail -n 15 "$results/$name.log" | sed 's/^/    /'
        return 1
    fi
}

verify() { # every service answers, Prometheus sees every target, a request passes through the shop
    docker compose ps -a
    for url in http://localhost:{8000,8001,8002,8003,8004,8005,8006,8010,8011,8012,8013,8443,8080}/health; do
        curl -sf --max-time 5 -o /dev/null "$url" || { echo "$url does not answer"; return 1; }
    done
    local down
    down=$(curl -sf --max-time 5 'http://localhost:9090/api/v1/query?query=count(up==0)' | grep -o '"value"' || true)
    [ -z "$down" ] || { echo "Prometheus has targets that are down"; return 1; }
    [ "$(curl -s --max-time 10 -o /dev/null -w '%{http_code}' -X POST http://localhost:8010/checkout/success)" = 201 ]
}

build() { make .env && docker compose build profile; }
up() { docker compose up -d --wait "$@" && sleep 20; }

step build build; built=$?
step test make verify
step scan make scan
if [ "$built" = 0 ] && step up up "$@"; then
    step verify verify
fi
printf '\n%-8s %-8s %s\n' step outcome seconds
for place in "${!names[@]}"; do
    printf '%-8s %-8s %s\n' "${names[$place]}" "${outcomes[$place]}" "${times[$place]}"
done | tee "$results/report.txt"
exit "$failed"
