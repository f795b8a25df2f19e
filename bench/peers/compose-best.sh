#!/bin/sh
# The best script a person would write by hand: one SSH connection for all of a create, one for all of a destroy.
#   CONFIG=ssh_config HOST=alias REPO=folder NAME=project compose-best.sh create|destroy
set -eu
case $1 in
    create)
        tar -C "$REPO" -c . | ssh -F "$CONFIG" "$HOST" "
            mkdir -p bench/$NAME && cd bench/$NAME && tar -x &&
            docker compose -p $NAME up -d --wait >log 2>&1 || { cat log >&2; exit 1; }"
        ;;
    destroy)
        ssh -F "$CONFIG" "$HOST" "
            cd bench/$NAME && docker compose -p $NAME down -v >log 2>&1 || { cat log >&2; exit 1; }
            cd .. && rm -rf $NAME"
        ;;
esac
