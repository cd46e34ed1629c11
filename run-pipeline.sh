#!/usr/bin/env bash
# ./run-pipeline.sh [SERVICE...]: brings up and verifies these alone, by default all.
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

# Where each service answers in its container.
health=(
    profile:8000 alert-ingestion:8001 incident-management:8002 oncall-service:8003 notification-service:8004
    exam:8005 telemetry:8006 gateway:8010 payment:8011 inventory:8012 dns:8013 web-ui:8080 fraud:8443
)
asked=("$@")

is_up() { # SERVICE...: whether all of these were to be brought up
    local one
    for one in "$@"; do
        [ ${#asked[@]} = 0 ] || [[ " ${asked[*]} " = *" $one "* ]] || return 1
    done
}

fetch() { # SERVICE PORT PATH [CURL'S OPTIONS]: what it answers, wherever .env publishes it
    local address
    address=$(docker compose port "$1" "$2") || return 1
    curl -sf --max-time 10 "http://$address$3" "${@:4}"
}

verify() { # every service answers, Prometheus sees every target, a request passes through the shop
    docker compose ps -a
    local place answer jobs='.+'
    for place in "${health[@]}"; do
        is_up "${place%:*}" || continue
        fetch "${place%:*}" "${place#*:}" /health -o /dev/null || { echo "${place%:*} does not answer"; return 1; }
    done
    if is_up prometheus; then
        [ ${#asked[@]} = 0 ] || jobs=$(IFS='|'; echo "${asked[*]}")
        answer=$(fetch prometheus 9090 /api/v1/query -G --data-urlencode "query=min(up{job=~\"$jobs\"})") ||
            { echo "Prometheus does not answer"; return 1; }
        [[ $answer = *',"1"]'* ]] || { echo "Prometheus has targets that are down: $answer"; return 1; }
    fi
    if is_up gateway payment inventory fraud dns; then
        fetch gateway 8010 /checkout/success -X POST || { echo "no request passes through the shop"; return 1; }
    fi
}

build() { make .env && docker compose build database; }
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
