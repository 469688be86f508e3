# shellcheck shell=bash
# What deploy_production.sh and rollback.sh share; sourced by them. Needs bash, docker with compose v2 (v1 was not tried),
# flock. All of PostgreSQL is asked inside the container `warehouse`, so that no client is needed here.

NAME=partner_center # of containers that are made and removed on the way
STATE=.deploy
# shellcheck disable=SC2034 # for those who source this
BACKUPS=${BACKUP_DIR:-backups}
WAIT_SECONDS=${WAIT_SECONDS:-300}
RUNNERS=(scheduler worker) # what runs tasks
DRY_RUN=${DRY_RUN:-}
PROBLEMS=0
warehouse_environment=

say() { printf '%s\n' "$*"; }
step() {
    # shellcheck disable=SC2034 # for those who source this
    DOING=$*
    printf '\n== %s\n' "$*"
}
warn() { printf 'warning: %s\n' "$*" >&2; }
die() { # WHAT HAPPENED, WHAT TO DO ...
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

problem() { # as die; a dry run tells it and goes on, to show the rest
    [ -n "$DRY_RUN" ] || die "$@"
    PROBLEMS=$((PROBLEMS + 1))
    printf '  NOT OK: %s\n' "$*"
}

change() { # COMMAND...: what changes something; a dry run shows it instead
    if [ -n "$DRY_RUN" ]; then
        printf '  would run: %s\n' "$(shown "$@")"
    else
        "$@"
    fi
}

shown() { # COMMAND...: as a person would call it
    local name=$1
    shift
    case $name in
        compose) printf 'docker compose %s' "$*" ;;
        alembic_of_new_image) printf 'docker compose run --rm scheduler alembic %s' "$*" ;;
        helper) printf 'docker compose exec api-server python scripts/partner_center_deployment.py %s' "$*" ;;
        downgrade_to) printf 'docker compose run --rm scheduler alembic downgrade, to: %s' "$(tr '\n' ' ' <<<"$*")" ;;
        *) printf '%s' "$name $*" ;;
    esac
}

compose() {
    if docker compose version >/dev/null 2>&1; then
        docker compose "$@"
    else
        docker-compose "$@"
    fi
}

image_of() { # SERVICE: the image that the compose file names for it
    compose config 2>/dev/null |
        awk -v service="  $1:" '$0 == service {mine = 1; next} /^  [^ ]/ {mine = 0} mine && $1 == "image:" {print $2; exit}'
}

id_of() { # IMAGE: its id, nothing where there is none
    docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true
}

revision_of() { # IMAGE: the revision of the code in it
    docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$1" 2>/dev/null || true
}

is_running() { # SERVICE
    [ -n "$(compose ps -q "$1" 2>/dev/null)" ] &&
        [ "$(docker inspect --format '{{.State.Running}}' "$(compose ps -q "$1" | head -1)" 2>/dev/null)" = true ]
}

alone() { # no second deployment or rollback beside this one; a dry run does not mind
    [ -n "$DRY_RUN" ] && return
    mkdir -p "$STATE"
    exec 8>"$STATE/lock"
    flock -n 8 || die "Another deployment or rollback is under way." "Wait for it; if there is none: rm $STATE/lock"
}

note() { # LINE: into the history of deployments
    [ -n "$DRY_RUN" ] || printf '%s %s\n' "$(date -u +%FT%TZ)" "$*" >>"$STATE/history"
}

# ---- Airflow ----------------------------------------------------------------------------------------------
helper() { # ARGUMENTS...: scripts/partner_center_deployment.py of the image, in the running API server, else by itself
    if is_running api-server; then
        compose exec -T api-server python scripts/partner_center_deployment.py "$@" </dev/null
    else
        helper_of_new_image "$@"
    fi
}

helper_of_new_image() {
    compose run --rm -T --no-deps --entrypoint python scheduler scripts/partner_center_deployment.py "$@" </dev/null
}

alembic_of_new_image() { # ARGUMENTS...
    compose run --rm -T --no-deps --entrypoint alembic scheduler "$@" </dev/null
}

stop_runs() { # nothing writes to the warehouse from here on; what was under way is tried again later
    local service present=()
    for service in "${RUNNERS[@]}"; do
        is_running "$service" && present+=("$service")
    done
    [ ${#present[@]} -eq 0 ] || change compose stop "${present[@]}"
}

start_all() { # with the image that is tagged current
    change compose up -d --no-build --remove-orphans
}

wait_for_health() { # until every container is healthy
    local deadline=$((SECONDS + WAIT_SECONDS)) waiting
    if [ -n "$DRY_RUN" ]; then
        say "  would wait until every service is healthy, $WAIT_SECONDS s at most"
        return
    fi
    while :; do
        waiting=$(not_healthy)
        [ -n "$waiting" ] || break
        if [ $SECONDS -ge $deadline ]; then
            printf 'error: not healthy after %s s: %s\n' "$WAIT_SECONDS" "$waiting" >&2
            # shellcheck disable=SC2086 # one word a service
            compose logs --tail 15 $waiting >&2 || true
            return 1
        fi
        sleep 3
    done
    say "  all services are healthy"
}

not_healthy() { # names of the services that are not
    local service ids id
    for service in $(compose config --services); do
        ids=$(compose ps -a -q "$service" 2>/dev/null || compose ps -q "$service")
        for id in $ids; do
            case $(docker inspect --format '{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$id") in
                "running 0 healthy" | "exited 0 " | "running 0 ") ;;
                *) printf '%s ' "$service" ;;
            esac
        done
    done
}

# ---- the warehouse ----------------------------------------------------------------------------------------
find_warehouse() { # how the connection partner_center_db leads there, as libpq's PG... variables; never shown
    [ -n "$warehouse_environment" ] || warehouse_environment=$(helper warehouse) ||
        problem "The connection partner_center_db could not be read or does not answer; the reason stands above." \
            "Nothing was changed. Correct it in .env (WAREHOUSE_PASSWORD, AIRFLOW_CONN_PARTNER_CENTER_DB) and begin again."
}

refuse_localhost() {
    case $warehouse_environment in
        *PGHOST=localhost* | *PGHOST=127.* | *PGHOST=::1*)
            problem "The warehouse's host is this machine's loopback, which inside a container is the container itself." \
                "Name the database's host in the connection partner_center_db, or leave the one of the compose file."
            ;;
    esac
}

# shellcheck disable=SC2016 # for the shell in the container
pg() { # COMMAND...: psql, pg_dump or pg_restore on the warehouse; its input is ours, none where that is a terminal
    { printf '%s\n\n' "$warehouse_environment" && if [ ! -t 0 ]; then cat; fi; } |
        compose exec -T warehouse sh -c \
            'while IFS= read -r line && [ -n "$line" ]; do export "$line"; done; exec "$@"' sh "$@"
}

sql() { # SQL on the input
    pg psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1
}

counts() { sql <"$HERE/deployment/counts.sql"; }

revisions() { # a line for each account: its schema and the revision of its tables
    sql <"$HERE/deployment/revisions.sql"
}

backup() { # FILE: all of the database, and the proof that it can be restored: a server that is thrown away has it
    local file=$1 before after
    mkdir -p "$(dirname "$file")"
    chmod 700 "$(dirname "$file")"
    before=$(counts)
    (umask 077 && pg pg_dump --format custom --no-owner --no-privileges </dev/null >"$file.part")
    after=$(restored_counts <"$file.part") || {
        rm -f "$file.part"
        die "The backup could not be restored into an empty server; the reason stands above." \
            "Nothing was changed. A disk that is full or an extension that the image lacks are the likely causes."
    }
    [ "$before" = "$after" ] || {
        rm -f "$file.part"
        die "The backup holds other rows than the warehouse: $(diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") | head -5 | tr '\n' ' ')" \
            "Nothing was changed. Somebody writes to the tables from elsewhere: find them in pg_stat_activity."
    }
    mv "$file.part" "$file"
    printf '%s\n' "$after" >"$file.counts"
    say "  $file, $(du -h "$file" | cut -f1), restored elsewhere and counted: $(rows_in "$file.counts")"
}

rows_in() { # FILE OF COUNTS
    awk -F '|' '{rows += $2} END {printf "%d tables, %d rows", NR, rows}' "$1"
}

restored_counts() { # a dump on the input; restores it into a server without a network, prints the counts of its tables
    docker run --rm -i --network none --name "${NAME}_backup_check_$$" --entrypoint bash --user 999:999 \
        -e COUNTS="$(cat "$HERE/deployment/counts.sql")" "$(image_of warehouse)" -euc '
            exec 3>&1 >/dev/null
            initdb -D "$PGDATA/check" -U postgres --auth trust --no-sync \
                --encoding UTF8 --locale C --locale-provider builtin --builtin-locale C.UTF-8
            pg_ctl -D "$PGDATA/check" -w -o "-c fsync=off -c listen_addresses= -k /tmp" start
            pg_restore -h /tmp -U postgres -d postgres --no-owner --no-privileges --exit-on-error
            printf "%s" "$COUNTS" | psql -h /tmp -U postgres --no-psqlrc -qAt -v ON_ERROR_STOP=1 >&3
            pg_ctl -D "$PGDATA/check" -m immediate stop'
}

pending() { # revisions of this code that the accounts' tables do not have yet
    local oldest file name
    oldest=$(revisions | cut -d '|' -f 2 | sort | head -1)
    for file in include/migrations/versions/[0-9]*.py; do
        name=$(basename "$file" .py)
        [[ $name > $oldest ]] && say "$name"
    done
    return 0
}

downgrade_to() { # LINES OF REVISIONS: tables go back, with what they hold; done by the code that knows the newer ones
    local schema revision account current
    current=$(revisions)
    while IFS='|' read -r schema revision; do
        [ -n "$revision" ] || continue
        grep -qxF "$schema|$revision" <<<"$current" && continue
        account=$schema
        [ "$schema" = public ] && account=partner_center_default
        say "  $schema goes back to $revision"
        alembic_of_new_image -x "account=$account" downgrade "$revision"
    done <<<"$1"
}
