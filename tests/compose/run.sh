#!/bin/sh
# `make test-compose`: brings docker on Debian where it is missing, builds stand-ins for the images where there is no
# registry (REAL_IMAGES=1 pulls the real ones instead), and runs the tests of this folder.
set -eu
cd "$(dirname "$0")/../.."

docker info >/dev/null 2>&1 || COMPOSE_V2=1 bash tests/compose/start-docker.sh
if [ -n "${REAL_IMAGES:-}" ]; then
    docker pull -q apache/airflow:3.3.2 && docker pull -q postgres:17 && docker pull -q redis:7
else
    bash tests/compose/standin/build-images.sh
fi
PARTNER_CENTER_COMPOSE_TESTS=1 exec .venv/bin/python -m pytest tests/compose "$@"
