#!/usr/bin/env bash
# shellcheck disable=SC2086 # the names of tags are lists, split at spaces
# Builds local stand-ins for the images that the compose file names, with no image registry:
#   postgres:17   redis:7   apache/airflow:3.3.2      (names: PG_TAGS, REDIS_TAGS, AIRFLOW_TAGS)
# Debian's packages come from mmdebstrap's default mirror, Python's through uv, both as this
# machine is set up.  Re-running is free: an image whose label carries the digest of its inputs
# is kept (FORCE=1 rebuilds).  Needs root, a running dockerd, mmdebstrap.  What is and is not
# faithful: README.md beside this.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LOCK=$HERE/../../../requirements.lock
SUITE=${SUITE:-trixie}                       # python 3.13 and PostgreSQL 17, as the real images
AIRFLOW_VERSION=${AIRFLOW_VERSION:-3.3.2}
PG_TAGS=${PG_TAGS:-postgres:17}
REDIS_TAGS=${REDIS_TAGS:-redis:7}
AIRFLOW_TAGS=${AIRFLOW_TAGS:-apache/airflow:$AIRFLOW_VERSION}
# celery 5.7 does not go with the celery provider of Airflow 3.3.2 (cannot import name 'retry').
REQS=("apache-airflow[celery,redis,postgres]==$AIRFLOW_VERSION" 'celery<5.7' pip)
# The versions of the package's own lock, for what both hold.
CONSTRAINTS=$(sed -n 's/^\([A-Za-z0-9][^ ]*==.*\) \\$/\1/p' "$LOCK")
# Of the machine, so that an image that is built on top reaches the package index wherever this machine does.
CERTIFICATES=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
UV_CACHE=${UV_CACHE_DIR:-$HOME/.cache/uv}
export DOCKER_BUILDKIT=0 DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
say() { printf '[standin %4ss] %s\n' "$SECONDS" "$*" >&2; }
die() { say "error: $*"; exit 1; }

[ "$(id -u)" = 0 ] || die "must be root"
docker info >/dev/null 2>&1 || die "no docker engine answers"
DIGEST=$( { cat "${BASH_SOURCE[0]}" "$HERE"/rootfs/* "$CERTIFICATES"
            echo "$SUITE ${REQS[*]}"; } | sha256sum | cut -c1-16)
stale() { # NAME TAG... : true when one of the tags is not this digest's image
  local name=$1 t; shift
  [ -n "${FORCE:-}" ] && return 0
  for t in "$@"; do
    [ "$(docker image inspect -f '{{index .Config.Labels "standin.digest"}}' "$t" 2>/dev/null)" = "$DIGEST" ] ||
      { [ "$(docker image inspect -f '{{index .Config.Labels "standin.digest"}}' "standin/$name" 2>/dev/null)" = "$DIGEST" ] &&
        docker tag "standin/$name" "$t" && continue; return 0; }
  done
  return 1
}
# a stand-in never replaces an image that was not made here (a real one pulled on a developer's machine)
for t in $PG_TAGS $REDIS_TAGS $AIRFLOW_TAGS; do
  if docker image inspect "$t" >/dev/null 2>&1 &&
     [ -z "$(docker image inspect -f '{{index .Config.Labels "standin.digest"}}' "$t")" ]; then
    die "$t exists and is no stand-in: remove its tag first, or name other tags"
  fi
done
TODO=()
stale postgres $PG_TAGS    && TODO+=(postgres)
stale redis $REDIS_TAGS    && TODO+=(redis)
stale airflow $AIRFLOW_TAGS && TODO+=(airflow)
[ ${#TODO[@]} = 0 ] && { say "up to date ($DIGEST)"; exit 0; }
[ -n "${STANDIN_NS:-}" ] || say "building: ${TODO[*]} ($DIGEST)"

command -v mmdebstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null; }

# everything that is mounted lives in a mount namespace of its own: it goes when the script does
if [ -z "${STANDIN_NS:-}" ]; then STANDIN_NS=1 exec unshare -m --propagation private "$BASH" "${BASH_SOURCE[0]}" "$@"; fi
W=$(mktemp -d "${STANDIN_TMP:-${TMPDIR:-/tmp}}/standin.XXXXXX")
below() { awk -v w="$W/" 'index($2,w)==1{print $2}' /proc/self/mounts | sort -r; }
clean() { local m; for m in $(below); do umount -l "$m" || true; done
          if [ -z "$(below)" ]; then rm -rf --one-file-system "$W"; else say "left $W: still mounted"; fi; }
trap clean EXIT

UV=$(command -v uv || true); [ -n "$UV" ] && UV=$(python3 - <<'P' 2>/dev/null || readlink -f "$UV"
import uv; print(uv.find_uv_bin())
P
)
case "$(head -c4 "${UV:-/dev/null}" | tr -d '\0')" in *ELF*) ;; *)   # none, or a shim
  pip install -q --target "$W/uv" uv; UV=$W/uv/bin/uv ;; esac

# --- one Debian base -------------------------------------------------------------------------
BASE=$W/base
mmdebstrap -q --variant=minbase --mode=root \
  --include=ca-certificates,curl,dumb-init,netcat-openbsd,procps \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --skip=cleanup/apt/lists \
  "$SUITE" "$BASE"
printf '#!/bin/sh\nexit 101\n' >"$BASE/usr/sbin/policy-rc.d"; chmod 755 "$BASE/usr/sbin/policy-rc.d"
say "base $(du -sm "$BASE" | cut -f1) MB"
HIDE=(--exclude=./etc/apt/sources.list --exclude='./etc/apt/sources.list.d/*' --exclude='./var/lib/apt/lists/*'
      --exclude='./var/cache/apt/*' --exclude='./var/log/*' --exclude=./etc/resolv.conf --exclude=./etc/hosts)
( tar -C "$BASE" "${HIDE[@]}" -c . | docker import -c "LABEL standin.digest=$DIGEST" - standin/base >/dev/null; say "base imported" ) &
IMPORT=$!

# --- one overlay on it for each image --------------------------------------------------------
overlay() { # NAME: mounts $W/NAME/root over the base, with the network's files and /proc
  local d=$W/$1; mkdir -p "$d"/{up,work,root}
  mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$d/up,workdir=$d/work" "$d/root"
  cp -L /etc/resolv.conf /etc/hosts "$d/root/etc/"
  mount -t proc proc "$d/root/proc"; mount --bind /dev "$d/root/dev"
}
apt_in() { # ROOT PACKAGE...
  local r=$1; shift
  chroot "$r" sh -c 'apt-get install -y -qq --no-install-recommends \
     -o APT::Sandbox::User=root -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io "$@"' sh "$@" >"$r/../apt.log" 2>&1 ||
     { tail -20 "$r/../apt.log" >&2; return 1; }
}
finish() { # NAME DOCKERFILE-LINES TAG...
  local d=$W/$1 name=$1 lines=$2 t; shift 2
  umount -l "$d/root/proc" "$d/root/dev"; umount "$d/root"
  mkdir -p "$d/ctx"
  tar -C "$d/up" "${HIDE[@]}" --exclude=./dev --exclude=./proc -cf "$d/ctx/layer.tar" .
  printf 'FROM standin/base\nADD layer.tar /\nLABEL standin.digest=%s\n%s\n' "$DIGEST" "$lines" >"$d/ctx/Dockerfile"
  wait_import
  docker build -q --network none -t "standin/$name" "$d/ctx" >/dev/null 2>"$d/build.log" || { cat "$d/build.log" >&2; return 1; }
  for t in "$@"; do docker tag "standin/$name" "$t"; done
  say "$name: $* $(docker image inspect -f '{{.Size}}' "standin/$name" | awk '{printf "%d MB", $1/1e6}')"
  rm -rf "$d"
}
wait_import() { while kill -0 "$IMPORT" 2>/dev/null; do sleep 0.2; done; docker image inspect standin/base >/dev/null; }

do_postgres() {
  local r=$W/postgres/root; overlay postgres
  mkdir -p "$r/etc/postgresql-common"; echo 'create_main_cluster = false' >"$r/etc/postgresql-common/createcluster.conf"
  chroot "$r" sh -c 'groupadd -r -g 999 postgres && useradd -r -u 999 -g 999 -d /var/lib/postgresql -s /bin/bash postgres'
  apt_in "$r" postgresql || return 1
  local v; v=$(ls "$r/usr/lib/postgresql")
  install -m 755 "$HERE/rootfs/postgres-entrypoint.sh" "$r/usr/local/bin/docker-entrypoint.sh"
  install -d -o 999 -g 999 -m 1777 "$r/var/lib/postgresql/data" "$r/var/run/postgresql"; mkdir -p "$r/docker-entrypoint-initdb.d"
  finish postgres "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/$v/bin PG_MAJOR=$v LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT [\"docker-entrypoint.sh\"]
CMD [\"postgres\"]" $PG_TAGS
}
do_redis() {
  local r=$W/redis/root; overlay redis
  chroot "$r" sh -c 'groupadd -r -g 999 redis && useradd -r -u 999 -g 999 -d /data redis'
  apt_in "$r" redis-server || return 1
  install -m 755 "$HERE/rootfs/redis-entrypoint.sh" "$r/usr/local/bin/docker-entrypoint.sh"
  install -d -o 999 -g 999 "$r/data"
  finish redis "VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT [\"docker-entrypoint.sh\"]
CMD [\"redis-server\"]" $REDIS_TAGS
}
do_airflow() {
  local r=$W/airflow/root v; overlay airflow
  apt_in "$r" python3-minimal python3 libpython3-stdlib || return 1
  say "airflow: python installed"
  chroot "$r" useradd -u 50000 -g 0 -d /home/airflow -m -s /bin/bash airflow
  mkdir -p "$r/mnt/uv" "$r/mnt/cache" "$UV_CACHE" "$r/mnt/ca"
  cp "$UV" "$r/mnt/uv/uv"; cp "$CERTIFICATES" "$r/mnt/ca/ca.crt"
  mount --bind "$UV_CACHE" "$r/mnt/cache"
  printf '%s\n' "$CONSTRAINTS" >"$r/mnt/constraints.txt"
  uvr() { chroot "$r" env -u UV_CONFIG_FILE HOME=/root SSL_CERT_FILE=/mnt/ca/ca.crt UV_CACHE_DIR=/mnt/cache UV_LINK_MODE=copy \
            UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 VIRTUAL_ENV=/home/airflow/.local /mnt/uv/uv "$@"; }
  uvr venv -q --allow-existing --python /usr/bin/python3 --system-site-packages /home/airflow/.local
  uvr pip install -q -c /mnt/constraints.txt "${REQS[@]}" || return 1
  say "airflow: packages installed"
  chroot "$r" sh -c 'cd /home/airflow/.local && python3 -m compileall -q -j 2 lib >/dev/null 2>&1 || true'
  say "airflow: bytecode compiled"
  umount "$r/mnt/cache" || return 1              # else the line below would empty the cache itself
  rm -rf "${r:?}"/mnt/*
  cp "$CERTIFICATES" "$r/etc/ssl/certs/ca-certificates.crt"
  install -m 775 "$HERE/rootfs/airflow-entrypoint.sh" "$r/entrypoint"
  mkdir -p "$r"/opt/airflow/{dags,logs,config,plugins}
  chown -R 50000:0 "$r/home/airflow" "$r/opt/airflow"; chmod -R g=u "$r/home/airflow" "$r/opt/airflow"
  chmod g=u "$r/etc/passwd"                     # any UID in group 0 can give itself a name
  umount -l "$r/proc" "$r/dev"
  local env="AIRFLOW_HOME=/opt/airflow AIRFLOW_USER_HOME_DIR=/home/airflow AIRFLOW_UID=50000 AIRFLOW_VERSION=$AIRFLOW_VERSION \
VIRTUAL_ENV=/home/airflow/.local PATH=/home/airflow/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
PYTHONUNBUFFERED=1 AIRFLOW__CORE__LOAD_EXAMPLES=False DUMB_INIT_SETSID=1 LANG=C.UTF-8 LC_ALL=C.UTF-8"
  # one streamed import of the merged tree: half the time of a build on the base, for 95 MB more disk
  tar -C "$r" "${HIDE[@]}" --exclude='./dev/*' --exclude='./proc/*' --exclude='./mnt/*' --one-file-system -c . |
    docker import -c "ENV $env" -c 'WORKDIR /opt/airflow' -c 'EXPOSE 8080' -c 'USER 50000' \
      -c 'ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]' -c "LABEL standin.digest=$DIGEST" - standin/airflow >/dev/null || return 1
  for v in $AIRFLOW_TAGS; do docker tag standin/airflow "$v"; done
  say "airflow: $AIRFLOW_TAGS $(docker image inspect -f '{{.Size}}' standin/airflow | awk '{printf "%d MB", $1/1e6}')"
}
# the small two side by side with the large one
fail=0; pids=()
for name in "${TODO[@]}"; do ( set +e; "do_$name" ) & pids+=($!); done
for p in "${pids[@]}"; do wait "$p" || fail=1; done
wait "$IMPORT" 2>/dev/null || true
[ $fail = 0 ] || die "an image did not build"
for t in $PG_TAGS $REDIS_TAGS $AIRFLOW_TAGS; do docker image inspect "$t" >/dev/null; done
docker image prune -f --filter label=standin.digest >/dev/null 2>&1 || true
say "done: $(docker image inspect -f '{{.RepoTags}}' $PG_TAGS $REDIS_TAGS $AIRFLOW_TAGS | tr '\n' ' ')"
