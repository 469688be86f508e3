#!/bin/bash
# Stand-in for the official apache/airflow image's /entrypoint: the subset that compose files use.
set -euo pipefail
umask 0002
export HOME=${AIRFLOW_USER_HOME_DIR:-/home/airflow}
CHECKS=${CONNECTION_CHECK_MAX_COUNT:-20} PAUSE=${CONNECTION_CHECK_SLEEP_TIME:-3}
# a UID that the image does not know (AIRFLOW_UID) gets a name
if ! id -un >/dev/null 2>&1; then
  [ -w /etc/passwd ] && { grep -v '^airflow:' /etc/passwd | sed '$a default:x:'"$(id -u)"':0:default user:'"$HOME"':/sbin/nologin' >/tmp/passwd.$$; cat /tmp/passwd.$$ >/etc/passwd; rm -f /tmp/passwd.$$; }
fi
retry() { # WHAT COMMAND...
  local what=$1 n=0; shift
  until "$@"; do
    n=$((n + 1)); [ "$n" -ge "$CHECKS" ] && { echo "ERROR! $what: maximum number of retries ($CHECKS) reached." >&2; exit 1; }
    sleep "$PAUSE"
  done
}
tcp() { # URL: is somebody listening there
  python3 - "$1" <<'P'
import socket, sys, urllib.parse as u
p = u.urlparse(sys.argv[1]); d = {"redis": 6379, "amqp": 5672, "rediss": 6379}
socket.create_connection((p.hostname, p.port or d.get(p.scheme, 6379)), 3).close()
P
}
if [ "${1:-}" = airflow ]; then shift; AIRFLOW=1; fi
case "${1:-}" in
  bash|python|pip|sh) [ -z "${AIRFLOW:-}" ] && DIRECT=1 ;;
esac
[ "$CHECKS" -gt 0 ] && retry 'database' airflow db check >/dev/null 2>"/tmp/dbcheck.$$"
rm -f "/tmp/dbcheck.$$"
if [ -n "${_AIRFLOW_DB_MIGRATE:-}${_AIRFLOW_DB_UPGRADE:-}" ]; then airflow db migrate || { echo 'db migrate failed' >&2; exit 1; }; fi
if [ -n "${_AIRFLOW_WWW_USER_CREATE:-}" ]; then
  if [ -z "${_AIRFLOW_WWW_USER_PASSWORD:-}${_AIRFLOW_WWW_USER_PASSWORD_CMD:-}" ]; then echo 'ERROR! _AIRFLOW_WWW_USER_PASSWORD is needed.' >&2; exit 1; fi
  airflow users create -u "${_AIRFLOW_WWW_USER_USERNAME:-admin}" -f "${_AIRFLOW_WWW_USER_FIRSTNAME:-Airflow}" \
    -l "${_AIRFLOW_WWW_USER_LASTNAME:-Admin}" -e "${_AIRFLOW_WWW_USER_EMAIL:-airflowadmin@example.com}" \
    -r "${_AIRFLOW_WWW_USER_ROLE:-Admin}" -p "${_AIRFLOW_WWW_USER_PASSWORD:-$(${_AIRFLOW_WWW_USER_PASSWORD_CMD:-true})}" || true
fi
if [ -n "${_PIP_ADDITIONAL_REQUIREMENTS:-}" ]; then
  echo '!!!!!  Installing additional requirements at container startup: for quick checks only  !!!!!'
  pip install --root-user-action ignore ${_PIP_ADDITIONAL_REQUIREMENTS}
fi
[ -n "${DIRECT:-}" ] && exec "$@"
case "${1:-}" in
  scheduler|celery) [ "$CHECKS" -gt 0 ] && [ "${AIRFLOW__CORE__EXECUTOR:-}" = CeleryExecutor ] && retry 'celery broker' tcp "$AIRFLOW__CELERY__BROKER_URL" 2>/dev/null ;;
esac
exec airflow "$@"
