#!/bin/sh
# Made by `lab pack` from the scenarios and the rubric; change those, not this.
# Says in figures whether the shop is as it should be: healthy, or broken as a scenario breaks it.
#
#     exam/examiner/test-endpoints.sh healthy|SCENARIO [requests for each route]
#
# GATEWAY_URL says where the shop is. A request is bad if it ends in a 5xx, in no answer, or takes a second or
# longer. Healthy routes may have no bad one, broken routes must have at least a quarter. Exit code 0: as expected;
# 1: not; 2: it could not be asked.
set -u

wanted=${1:-}
requests=${2:-6}
gateway=${GATEWAY_URL:-http://127.0.0.1:8010}
run=$(date +%s)-$$

usage() {
    echo "usage: $0 healthy|card-decline|connection-leak|forgotten-session|incident-b|inventory-timeout|missing-index|payment-dns|quiet-night|stale-record [requests for each route]" >&2
    exit 2
}

# What is not asked is not bad: without these two checks it would count as well.
case $requests in
'' | 0* | *[!0-9]*) usage ;;
esac
if ! command -v curl >/dev/null; then
    echo "$0 needs curl" >&2
    exit 2
fi

case $wanted in
healthy)
    broken=''
    well='GET /api/accounts/{customer_id}/balance
GET /api/stats
GET /api/transactions
GET /api/users/profile/{user_id}
POST /api/payment
POST /api/refund
POST /api/webhooks/payment-gateway
POST /checkout'
    ;;
card-decline)
    broken='POST /api/payment
POST /checkout'
    well='GET /api/users/profile/{user_id}
POST /api/refund
GET /api/transactions
GET /api/accounts/{customer_id}/balance'
    ;;
connection-leak)
    broken='GET /api/users/profile/{user_id}'
    well='POST /api/payment
POST /api/refund
GET /api/transactions
GET /api/stats'
    ;;
forgotten-session)
    broken='POST /api/payment
POST /api/refund
POST /checkout
GET /api/transactions
GET /api/accounts/{customer_id}/balance'
    well='GET /api/users/profile/{user_id}'
    ;;
incident-b)
    broken='GET /api/users/profile/{user_id}'
    well='POST /api/payment
POST /api/refund
GET /api/transactions
GET /api/stats'
    ;;
inventory-timeout)
    broken='POST /api/payment
POST /checkout'
    well='GET /api/users/profile/{user_id}
GET /api/transactions
POST /api/refund'
    ;;
missing-index)
    broken='GET /api/users/profile/{user_id}'
    well='POST /api/payment
POST /api/refund
GET /api/transactions
GET /api/stats'
    ;;
payment-dns)
    broken='POST /api/payment
POST /api/refund'
    well='GET /api/users/profile/{user_id}
GET /api/transactions
GET /api/accounts/{customer_id}/balance
POST /api/webhooks/payment-gateway'
    ;;
quiet-night)
    broken=''
    well='GET /api/users/profile/{user_id}
POST /api/payment
POST /api/refund
GET /api/transactions'
    ;;
stale-record)
    broken='POST /api/payment
POST /api/refund'
    well='GET /api/users/profile/{user_id}
GET /api/transactions
GET /api/accounts/{customer_id}/balance
POST /api/webhooks/payment-gateway'
    ;;
*) usage ;;
esac
if [ "$(curl -s -o /dev/null --max-time 8 -w '%{http_code}' "$gateway/health")" = 000 ]; then
    echo "nothing answers at $gateway: is the lab up? GATEWAY_URL says where it is" >&2
    exit 2
fi

# One request: prints status and seconds. Customers and users change with the number.
ask() {
    customer=$(($2 % 3 + 1))
    user=$((100 + ($2 * 37 + $$) % 900))
    body=''
    case $1 in
    'GET /api/users/profile/{user_id}') path=/api/users/profile/$user ;;
    'GET /api/transactions') path='/api/transactions?limit=10' ;;
    'GET /api/stats') path=/api/stats ;;
    'GET /api/accounts/{customer_id}/balance') path=/api/accounts/$customer/balance ;;
    'POST /api/payment')
        path=/api/payment
        body='{"customer_id": '$customer', "amount": "12.00", "items": [{"sku": "mug-blue", "quantity": 1}]}'
        ;;
    'POST /api/refund')
        path=/api/refund
        body='{"customer_id": '$customer', "amount": "1001.00"}'
        ;;
    'POST /checkout')
        path=/checkout
        body='{"customer_id": '$customer', "items": [{"sku": "mug-blue", "quantity": 1}], "payment": {"amount": "12.00"}}'
        ;;
    'POST /api/webhooks/payment-gateway')
        path=/api/webhooks/payment-gateway
        body='{"event_id": "check-'$run-$2'", "type": "payment.settled", "data": {"transaction_id": 1}}'
        ;;
    *)
        echo "no request is known for $1" >&2
        exit 2
        ;;
    esac
    set -- "${1%% *}" "$gateway$path" "check-$run-$2-$1"
    if [ -n "$body" ]; then
        curl -s -o /dev/null --max-time 8 -w '%{http_code} %{time_total}\n' -X "$1" "$2" \
            -H 'content-type: application/json' -H "idempotency-key: $(echo "$3" | tr -c 'a-zA-Z0-9\n' -)" -d "$body"
    else
        curl -s -o /dev/null --max-time 8 -w '%{http_code} %{time_total}\n' -X "$1" "$2"
    fi
}

# All requests of a route at once: prints how many were bad, the statuses, and the longest time.
probe() {
    n=0
    while [ "$n" -lt "$requests" ]; do
        ask "$1" "$n" &
        n=$((n + 1))
    done | sort | awk '
        { status[$1]++; if ($2 > longest) longest = $2; if ($1 >= 500 || $1 < 200 || $2 >= 1) bad++ }
        END {
            for (code in status) said = said (said ? "," : "") status[code] "x" code
            printf "%d %s %.2f\n", bad, said, longest
        }'
}

wrong=0
check() {
    printf '%s\n' "$2" | {
        failed=0
        while IFS= read -r route; do
            [ -n "$route" ] || continue
            judge "$1" "$route" "$(probe "$route")" || failed=1
        done
        exit "$failed"
    } || wrong=1
}

judge() {
    bad=${3%% *}
    rest=${3#* }
    if [ "$1" = well ]; then [ "$bad" -eq 0 ]; else [ $((bad * 4)) -ge "$requests" ]; fi
    is_right=$?
    [ "$is_right" -eq 0 ] && verdict=ok || verdict="WRONG, should be $1"
    printf '%-7s %-41s %2d of %d bad  %-14s longest %s s  %s\n' \
        "$1" "$2" "$bad" "$requests" "${rest% *}" "${rest#* }" "$verdict"
    return "$is_right"
}

check broken "$broken"
check well "$well"
[ "$wrong" -eq 0 ] && echo "as expected: $wanted" || echo "not as expected: $wanted"
exit "$wrong"
