#!/bin/sh
# The usual script: each step is a connection of its own.
#   CONFIG=ssh_config HOST=alias REPO=folder NAME=project compose-usual.sh create|destroy
set -eu
case $1 in
    create)
        ssh -F "$CONFIG" "$HOST" "mkdir -p bench/$NAME"
        rsync -a -e "ssh -F $CONFIG" "$REPO/" "$HOST:bench/$NAME/"
        ssh -F "$CONFIG" "$HOST" "cd bench/$NAME && docker compose -p $NAME up -d --wait >log 2>&1 || { cat log >&2; exit 1; }"
        ssh -F "$CONFIG" "$HOST" "cd bench/$NAME && docker compose -p $NAME ps" >/dev/null
        ;;
    destroy)
        ssh -F "$CONFIG" "$HOST" "cd bench/$NAME && docker compose -p $NAME down -v >log 2>&1 || { cat log >&2; exit 1; }"
        ssh -F "$CONFIG" "$HOST" "rm -rf bench/$NAME"
        ;;
esac
