# A workspace on a machine: a directory, and the guard that removes it in time.

# attach … TTL; then a line `DIGEST BYTES` (`- 0`: no tree), and the tree if it is asked for.
attach() {
    need timeout tar sha256sum head tee mkfifo
    IFS=' ' read -r _digest _bytes || die unavailable "the request did not arrive whole"
    begin
    printf '%s\n' "$INSTALLATION" >"$STATE/owner" || die capacity "cannot write below $STATE: is the disk full?"
    snapshot before
    open_gate
    [ -s "$STATE/deadline" ] || set_deadline "$(($1 + 600))"
    shut_gate
    start_guard
    if logout_kills; then say "lacks guard"; fi
    if [ "$_digest" = - ] || has_tree "$_digest" || [ -d "$BASE/$ID" ]; then say "tree have"; else say "tree need"; fi
    say go
    while IFS=' ' read -r _what _; do
        case $_what in
        tree) receive_tree "$_digest" "$_bytes" ;;
        *) break ;;
        esac
    done
    [ "${_what:-}" = go ] || die unavailable "the request did not arrive whole"
    still
    if [ "$_digest" = - ]; then place_empty; else place_tree "$_digest"; fi
    ready "$1"
    finish
}

# ready … TTL
ready() {
    [ -d "$BASE/$ID" ] && [ -d "$STATE" ] || die not_found "$ID is not on this machine"
    open_gate
    [ ! -e "$STATE/expired" ] || die not_found "the time of $ID has passed"
    if [ ! -e "$STATE/ready" ]; then
        set_deadline "$1"
        : >"$STATE/ready"
    fi
    shut_gate
    start_guard
    say "guard $(seconds_left)"
    snapshot after
    say "user $(id -un 2>/dev/null)"
    say ready
}

# The workspace and nothing else: the machine stays.
remove() {
    _found=false
    if [ -e "$BASE/$ID" ] || [ -L "$BASE/$ID" ]; then
        _found=true
        rm -rf "$BASE/$ID" 2>/dev/null
        if [ -e "$BASE/$ID" ]; then
            item directory "$BASE/$ID" true present "it could not be removed"
            return 1
        fi
    fi
    item directory "$BASE/$ID" "$_found" absent
    forget_incoming
    prune_trees
    note_end "$ENDING" || return 1
    stop_guard
    rm -rf "$STATE" || return 1
    item state "$STATE" true absent
    say "removed $ENDING"
}

how_ended() {
    [ -r "$BASE/.sbx/ended" ] && awk -v id="$ID" '$1 == id { how = $4 } END { if (how != "") print "ended", how }' "$BASE/.sbx/ended"
}

observe() {
    STATE=$BASE/.sbx/$ID
    if [ -d "$STATE" ]; then
        say "state present"
        _left=$(seconds_left) && say "left $_left"
        if guard_lives; then say "guard alive"; else say "guard dead"; fi
    else
        say "state absent"
        how_ended
    fi
    if [ -d "$BASE/$ID" ]; then say "directory present"; else say "directory absent"; fi
    say seen
}

deadline() {
    enter_base
    [ -d "$STATE" ] || die not_found "$ID is not on this machine"
    open_gate
    fence
    is_here || not_here
    _left=$(seconds_left) || _left=0
    [ "$_left" -ge "$1" ] || set_deadline "$1"
    shut_gate
    start_guard
    say "guard $(seconds_left)"
}

inventory() {
    for _dir in "$BASE"/sbx-* "$BASE/.sbx"/sbx-*; do
        [ -d "$_dir" ] || continue
        _name=${_dir##*/}
        _owner= _epoch=
        if [ -s "$BASE/.sbx/$_name/owner" ]; then read -r _owner <"$BASE/.sbx/$_name/owner"; fi
        if [ -s "$BASE/.sbx/$_name/epoch" ]; then read -r _epoch <"$BASE/.sbx/$_name/epoch"; fi
        say "directory|$_name|$(($(date +%s) - $(stat -c %Y "$_dir")))|$_owner|$_epoch|$_dir"
    done
    say seen
}

VERB=$1
BASE=$2
ID=$3
INSTALLATION=$4
EPOCH=$5
OPERATION=$6
shift 6
# A creation is fenced like any other.
case $VERB in
attach)
    VERB=provision
    attach "$@"
    ;;
ready)
    enter_base
    ready "$@"
    ;;
guard) guard ;;
teardown)
    begin
    how_ended
    ENDING=removed
    remove || {
        finish
        exit 4
    }
    ;;
observe) observe ;;
deadline) deadline "$@" ;;
inventory) inventory ;;
*) die invalid "no verb $VERB" ;;
esac
