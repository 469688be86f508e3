#!/usr/bin/env bash
# Goes back, by hand.
#
#   scripts/rollback.sh                      switches the sync off: from the next run on nothing is called; all stays stored
#   scripts/rollback.sh --to REVISION        runs the image of that commit again, the schema with it; rows stay
#   scripts/rollback.sh --restore BACKUP     puts the rows of a backup back; those of now are backed up first
#   --dry-run                                shows what would be done
#
# docs/runbooks/upgrade-and-roll-back.md says which one when. Exit status: 0 done, 1 refused or failed, 2 usage.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
# shellcheck source=scripts/deployment/common.sh
. "$HERE/deployment/common.sh"

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
    exit "$1"
}

what=off target=
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) DRY_RUN=yes ;;
        --to | --restore)
            if [ "$what" != off ] || [ -z "${2:-}" ]; then usage 2 >&2; fi
            what=${1#--} target=$2
            shift
            ;;
        -h | --help) usage 0 ;;
        *) usage 2 >&2 ;;
    esac
    shift
done

switch_off() {
    step "The sync is switched off"
    change helper flag off
    note "switched off"
    say "  On again: set the Variable partner_center_enabled to true, or scripts/partner_center_deployment.py flag on"
}

to_revision() {
    local current new schema
    current=$(image_of api-server)
    new=${current%:*}:$target
    [ -n "$(id_of "$new")" ] || die "There is no image $new on this machine." \
        "These are there: $(docker images --format '{{.Tag}}' "${current%:*}" | tr '\n' ' ')" \
        "Or check that commit out and deploy it: scripts/deploy_production.sh"
    step "Back to $target, from $(revision_of "$current")"
    find_warehouse
    # Asked of the image itself: the newest revision that its code knows.
    schema=$(docker run --rm --network none --entrypoint sh "$new" -c 'basename -s .py include/migrations/versions/[0-9]*.py | sort | tail -1')
    stop_runs
    change downgrade_to "$(revisions | awk -F '|' -v to="$schema" '{print $1 "|" ($2 > to ? to : $2)}')"
    change docker tag "$(id_of "$current")" "${current%:*}:previous"
    change docker tag "$new" "$current"
    change alembic_of_new_image upgrade head # nothing to do on the way back, all of it on the way forward
    start_all
    wait_for_health
    note "changed to $target"
    say "  $target runs, its tables at $schema. Forward again: scripts/rollback.sh --to $(revision_of "${current%:*}:previous")"
}

restore() {
    local at now list
    [ -r "$target" ] || die "There is no backup $target." "These are there: $(find "$BACKUPS" -name '*.dump' 2>/dev/null | sort | tr '\n' ' ')"
    step "The rows of $target are put back"
    find_warehouse
    at=$(revisions_in_backup)
    [ -n "$at" ] || die "$target is no backup of this warehouse, or cannot be read." "Nothing was changed."
    now=$(revisions)
    say "  the backup's tables: $(tr '\n' ' ' <<<"$at"); now: $(tr '\n' ' ' <<<"$now")"
    stop_runs
    if [ -n "$DRY_RUN" ]; then
        say "  would back the rows of now up, take the schema to the backup's, replace all rows in one transaction, and migrate again"
        return
    fi
    backup "$BACKUPS/warehouse-$(date -u +%Y%m%dT%H%M%SZ)-before-restore.dump"
    trap start_all EXIT
    downgrade_to "$at"
    list=$(mktemp)
    tables_in_backup >"$list"
    { restoring "$list" && pg_restore_of_backup "$list" && echo 'commit;'; } | sql >/dev/null
    rm -f "$list"
    alembic_of_new_image upgrade head
    trap - EXIT
    start_all
    wait_for_health
    note "restored $target"
    say "  restored: $(counts | awk -F '|' '{rows += $2} END {printf "%d tables, %d rows", NR, rows}')"
    say "  Who was erased since the backup has to be erased once more: docs/runbooks/privacy.md"
    say "  The next run reads everything anew and brings the rows up to date; to keep the old state: scripts/rollback.sh first"
}

# The dump is read by the container's pg_restore, so that no client is needed on this machine.
contents() { pg pg_restore --list <"$target"; }

# Not who was erased: a backup from before must not make that forgotten.
tables_in_backup() { contents | grep -E ' TABLE DATA [^ ]+ partner_center_| SEQUENCE SET [^ ]+ partner_center_' | grep -vE ' partner_center_(alembic_version|erased_people) '; }

revisions_in_backup() {
    pg pg_restore --data-only --table partner_center_alembic_version --file - <"$target" |
        awk '/^COPY / {split($2, name, "."); schema = name[1]; getline; print schema "|" $1}'
}

restoring() { # LIST: the beginning of the transaction that replaces the rows
    echo 'begin;'
    awk '$4 == "TABLE" && $5 == "DATA" {printf "%s%s.%s", (n++ ? ", " : "truncate "), $6, $7} END {if (n) print ";"}' "$1"
}

# shellcheck disable=SC2016 # for the shell in the container
pg_restore_of_backup() { # LIST: the rows as SQL
    {
        cat "$1"
        echo
        cat "$target"
    } | pg sh -c 'while IFS= read -r line && [ -n "$line" ]; do printf "%s\n" "$line"; done >/tmp/list.$$
        pg_restore --data-only --disable-triggers --no-owner --use-list /tmp/list.$$ --file -; status=$?; rm -f /tmp/list.$$; exit $status'
}

alone
case $what in
    off) switch_off ;;
    to) to_revision ;;
    restore) restore ;;
esac
