#!/bin/sh
# Writes a fresh token of Airflow's for Prometheus. A token lasts for a day by default ([api_auth] jwt_expiration_time),
# so let cron call this every 12 hours; when it fails the token of before stays, and works until its day is over.
# LOGIN is a file of mode 600 that holds {"username": "…", "password": "…"}: neither is ever an argument of a command.
set -eu

: "${AIRFLOW_URL:?is not set: the address of Airflow, such as https://airflow.example.com}"
: "${LOGIN:=/etc/prometheus/partner-center.login.json}"
: "${TOKEN:=/etc/prometheus/partner-center.token}"

umask 077
fresh=$(mktemp "$TOKEN.XXXXXX")
trap 'rm -f "$fresh"' EXIT
curl --silent --show-error --fail --max-time 30 --header 'Content-Type: application/json' --data "@$LOGIN" \
    "$AIRFLOW_URL/auth/token" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p' >"$fresh"
if [ ! -s "$fresh" ]; then
    printf '%s\n' "renew-token: no token came from $AIRFLOW_URL/auth/token, so $TOKEN stays as it is. Check the" \
        "address, and the user and password in $LOGIN." >&2
    exit 1
fi
mv "$fresh" "$TOKEN"
