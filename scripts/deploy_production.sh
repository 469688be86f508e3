#!/usr/bin/env bash
# Brings the commit that is checked out to production: docker-compose.yaml on this machine.
#
#   scripts/deploy_production.sh --dry-run                                        shows every step, changes nothing
#   ENVIRONMENT=production FORCE_PRODUCTION=yes scripts/deploy_production.sh      does them
#
# Checks, builds, backs the warehouse up and proves the backup, migrates, rolls the services, waits for health, syncs once
# without and once with writing, counts the rows. A step that fails takes image and schema back to what was there before;
# rows that were stored meanwhile stay. docs/runbooks/upgrade-and-roll-back.md has the whole story.
#
# Options: --dry-run, --skip-smoke-test. Environment: what docker compose reads (COMPOSE_FILE, COMPOSE_PROJECT_NAME, ...),
# BACKUP_DIR (backups), WAIT_SECONDS (300), MIN_FREE_MB (4000), REVISION (the commit).
# Exit status: 0 done, 1 refused or failed and gone back, 2 usage, 3 failed and NOT gone back.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
# shellcheck source=scripts/deployment/common.sh
. "$HERE/deployment/common.sh"

smoke_test=yes
for argument in "$@"; do
    case $argument in
        --dry-run) DRY_RUN=yes ;;
        --skip-smoke-test) smoke_test= ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
            exit 0
            ;;
        *)
            say "deploy_production.sh: $argument is no option; --help lists them" >&2
            exit 2
            ;;
    esac
done

allowed() {
    [ -n "$DRY_RUN" ] && return
    [ "${ENVIRONMENT:-}" = production ] && [ "${FORCE_PRODUCTION:-}" = yes ] && return
    die "This changes production, and nobody has said that it may." \
        "Look first: scripts/deploy_production.sh --dry-run" \
        "Then: ENVIRONMENT=production FORCE_PRODUCTION=yes scripts/deploy_production.sh"
}

# ---- what is checked before anything is changed -----------------------------------------------------------
check_machine() {
    step "1 Checks"
    if ! command -v docker >/dev/null; then
        problem "docker is not installed." "Install the engine and its compose plugin."
    elif ! docker info >/dev/null 2>&1; then
        problem "The docker engine does not answer." "Start it; your user may need the group docker."
    elif ! compose version --short >/dev/null 2>&1; then
        problem "docker compose is not installed." "Install its plugin."
    else
        say "  docker $(docker version --format '{{.Server.Version}}'), compose $(compose version --short)"
        check_settings
        check_disk
    fi
}

check_settings() {
    compose config --quiet || problem "docker-compose.yaml and .env do not go together; the reason stands above." \
        "Fill in .env: sh scripts/new_env.sh makes one with new secrets."
    if [ -f .env ] && [ -n "$(find .env -perm /044)" ]; then
        warn ".env holds secrets and others of this machine can read it: chmod 600 .env"
    fi
}

check_disk() {
    local free
    free=$(df -Pm "$(docker info --format '{{.DockerRootDir}}')" | awk 'NR == 2 {print $4}')
    [ "$free" -ge "${MIN_FREE_MB:-4000}" ] || problem \
        "Docker's disk has $free MB left, ${MIN_FREE_MB:-4000} are needed for image and backup." "docker image prune, or MIN_FREE_MB."
    say "  disk: $free MB free"
}

check_code() {
    REVISION=${REVISION:-$(git rev-parse --short=12 HEAD 2>/dev/null || true)}
    [ -n "$REVISION" ] || problem "This is no git checkout, so the image would have no name." "Name it: REVISION=..."
    if git rev-parse HEAD >/dev/null 2>&1 && [ -n "$(git status --porcelain)" ]; then
        problem "There are changes that are not committed, so revision $REVISION would not be what runs." \
            "Commit or remove them: git status"
    fi
    CURRENT=$(image_of api-server || true)
    CURRENT=${CURRENT:-${PARTNER_CENTER_IMAGE:-partner-center-airflow:current}} # where there is no docker to ask
    NEW=${CURRENT%:*}:$REVISION
    BEFORE=$(id_of "$CURRENT")
    say "  code: $REVISION; running: $(revision_of "$CURRENT" | grep . || echo nothing yet)"
}

check_warehouse() {
    is_running warehouse || {
        say "  warehouse: not running yet, so nothing can be migrated or backed up (a first deployment)"
        return
    }
    find_warehouse
    [ -n "$warehouse_environment" ] || return 0
    refuse_localhost
    say "  warehouse: PostgreSQL $(sql <<<'show server_version'), $(sql <<<'select count(*) from pg_stat_activity') sessions"
    SCHEMA_BEFORE=$(revisions)
    show_pending
}

show_pending() {
    local names name
    names=$(pending)
    [ -n "$names" ] || {
        say "  schema: no migration is pending"
        return
    }
    for name in $names; do
        say "  schema: pending $name, which is this SQL (and what include/migrations/versions/$name.py does beside it):"
        sed 's/^/    | /' "include/sql/schema/$name.sql"
    done
}

# ---- the steps --------------------------------------------------------------------------------------------
build() {
    step "2 Image $NEW"
    # Named for its code; until the roll, `current` is what runs.
    PARTNER_CENTER_IMAGE=$NEW change compose build --build-arg "REVISION=$REVISION" api-server
    [ -n "$DRY_RUN" ] || [ -z "$BEFORE" ] || same_airflow
}

same_airflow() {
    local was now
    was=$(airflow_of "$BEFORE")
    now=$(airflow_of "$NEW")
    [ "$was" = "$now" ] || [ "${AIRFLOW_UPGRADE:-}" = yes ] ||
        die "The new image has Airflow ${now:-?}, the running one ${was:-?}: going back would not bring the metadata database back." \
            "docs/runbooks/upgrade-and-roll-back.md, \"A new Airflow\", says how; then: AIRFLOW_UPGRADE=yes"
}

airflow_of() { # IMAGE
    docker image inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$1" | sed -n 's/^AIRFLOW_VERSION=//p'
}

examine() {
    step "3 Doctor, in the new image"
    if [ -n "$DRY_RUN" ]; then
        if is_running api-server; then helper preflight; else change helper preflight; fi
        return
    fi
    PARTNER_CENTER_IMAGE=$NEW compose up -d --no-build metadata warehouse
    PARTNER_CENTER_IMAGE=$NEW wait_for_databases
    # A first deployment has no metadata for the doctor to look at.
    is_running api-server || PARTNER_CENTER_IMAGE=$NEW compose run --rm -T --no-deps init </dev/null
    PARTNER_CENTER_IMAGE=$NEW helper_of_new_image preflight ||
        die "The doctor found what would keep every run from succeeding; it stands above." "What runs was not changed."
    [ -n "$warehouse_environment" ] || find_new_warehouse
}

find_new_warehouse() { # of a first deployment: it runs only now
    warehouse_environment=$(PARTNER_CENTER_IMAGE=$NEW helper_of_new_image warehouse)
    refuse_localhost
    SCHEMA_BEFORE=$(revisions)
}

wait_for_databases() {
    local deadline=$((SECONDS + WAIT_SECONDS)) waiting=yes
    while [ -n "$waiting" ]; do
        waiting=$(not_healthy | tr ' ' '\n' | grep -xE 'metadata|warehouse' || true)
        [ $SECONDS -lt $deadline ] || die "Not healthy after $WAIT_SECONDS s: $waiting" "compose logs $waiting"
        [ -z "$waiting" ] || sleep 1
    done
}

save() {
    step "4 Backup of the warehouse; runs stop here"
    stop_runs
    BACKUP=$BACKUPS/warehouse-$(date -u +%Y%m%dT%H%M%SZ)-before-$REVISION.dump
    if [ -n "$DRY_RUN" ]; then
        say "  would write $BACKUP, restore it into a server that is thrown away, and compare the rows of each table"
    elif [ -z "$SCHEMA_BEFORE" ]; then
        BACKUP=
        say "  there are no tables of the package yet: nothing to back up"
    else
        backup "$BACKUP"
    fi
}

migrate() {
    step "5 Migrations"
    PARTNER_CENTER_IMAGE=$NEW change alembic_of_new_image upgrade head
    [ -n "$DRY_RUN" ] || revisions | sed 's/^/  /'
}

roll() {
    step "6 Services"
    [ -z "$BEFORE" ] || change docker tag "$BEFORE" "${CURRENT%:*}:previous"
    change docker tag "$NEW" "$CURRENT"
    start_all
}

test_it() {
    step "7 Health"
    wait_for_health
    step "8 Smoke test"
    if [ -z "$smoke_test" ]; then
        say "  left out, as asked"
    else
        change helper smoke
    fi
}

summary() {
    step "Done"
    note "deployed $REVISION${BACKUP:+, backup $BACKUP}"
    if [ -n "$DRY_RUN" ]; then
        say "  Nothing was changed. To do it: ENVIRONMENT=production FORCE_PRODUCTION=yes scripts/deploy_production.sh"
        [ "$PROBLEMS" -eq 0 ] || die "$PROBLEMS of the checks are NOT OK: a deployment would stop there." "They stand above."
        return
    fi
    say "  $REVISION runs after $SECONDS s.${BACKUP:+ Backup: $BACKUP}"
    say "  Back: scripts/rollback.sh (switches the sync off), scripts/rollback.sh --to $(revision_of "${CURRENT%:*}:previous" | grep . || echo REVISION)"
}

# ---- and back, by itself ----------------------------------------------------------------------------------
go_back() {
    local status=$?
    trap - EXIT
    [ $status -ne 0 ] || return 0
    printf '\n== %s failed: going back to what was there before\n' "$DOING" >&2
    note "failed at $DOING: $REVISION"
    set +e # so that a failure on the way back is told, not lost
    (
        set -e
        stop_runs
        [ -z "$SCHEMA_BEFORE" ] || PARTNER_CENTER_IMAGE=$NEW downgrade_to "$SCHEMA_BEFORE"
        if [ -n "$BEFORE" ]; then
            docker tag "$BEFORE" "$CURRENT"
            start_all
            wait_for_health
        else
            say "  there was nothing before; the services are stopped, the databases keep what they hold"
            compose stop
        fi
    )
    status=$?
    if [ $status -eq 0 ]; then
        note "gone back from $REVISION"
        say "== Gone back: image and schema are those from before. The new ones were not kept in use; the reason stands above." >&2
        exit 1
    fi
    printf 'error: going back failed, too; the reason stands above. The sync may be standing still.\n' >&2
    printf '       By hand: docker tag %s %s, then docker compose up -d; %s\n' "$BEFORE" "$CURRENT" \
        "${BACKUP:+the rows from before are in $BACKUP (scripts/rollback.sh --restore)}" >&2
    exit 3
}

allowed
alone
SCHEMA_BEFORE='' BACKUP=''
check_machine
check_code
check_warehouse
build
examine
[ -n "$DRY_RUN" ] || trap go_back EXIT
save
migrate
roll
test_it
trap - EXIT
summary
