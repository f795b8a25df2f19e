# What verbs of every backend have in common. A backend brings `remove`, and calls these from its own verbs.

# Whether this call must bring the tree, or we have it; then the caller may answer.
say_tree() {
    if [ "$1" = - ] || has_tree "$1" || [ -d "$BASE/$ID" ]; then say "tree have"; else say "tree need"; fi
    say go
}

# Gives the sandbox its tree: the one of this digest, or an empty one for `-`.
place() { if [ "$1" = - ]; then place_empty; else place_tree "$1"; fi; }

# Until it is ready it has its whole time and what making it may take; then the deadline is set anew.
guard_making() {
    open_gate
    [ -s "$STATE/deadline" ] || set_deadline "$1"
    shut_gate
    start_guard
}

# The deadline counts from now; one that was moved already stays.
guard_ready() {
    open_gate
    [ ! -e "$STATE/expired" ] || die not_found "the time of $ID has passed"
    if [ ! -e "$STATE/ready" ]; then
        set_deadline "$1"
        : >"$STATE/ready"
    fi
    shut_gate
    start_guard
    say "guard $(seconds_left)"
}

# deadline … SECONDS: later only.
deadline() {
    enter_base
    [ -d "$STATE" ] || die not_found "$ID is not on this host"
    open_gate
    fence
    is_here || not_here
    _left=$(seconds_left) || _left=0
    [ "$_left" -ge "$1" ] || set_deadline "$1"
    shut_gate
    start_guard
    say "guard $(seconds_left)"
}

# The removal that somebody asked for, once it has begun. Its receipt is said, whatever comes of it.
remove_now() {
    ENDING=removed
    remove || {
        finish
        exit 4
    }
}

# The end of every removal, when nothing but what is known of the sandbox is left.
forget() {
    forget_incoming
    prune_trees
    note_end "$ENDING" || return 1
    stop_guard
    rm -rf "$STATE" || return 1
    item state "$STATE" true absent
    say "removed $ENDING"
}

# `ended HOW` if it ended by itself.
how_ended() {
    [ -r "$BASE/.sbx/ended" ] && awk -v id="$ID" '$1 == id { how = $4 } END { if (how != "") print "ended", how }' "$BASE/.sbx/ended"
}

# What can be seen of the sandbox beside what runs in it: nothing is changed and nothing is waited for.
say_seen() {
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
}

# `directory|NAME|AGE|INSTALLATION|EPOCH|PATH` for each of these directories and for each state.
say_directories() {
    for _dir in "$@" "$BASE/.sbx"/sbx-*; do
        [ -d "$_dir" ] || continue
        # It may go while it is looked at. One that stays and cannot be looked at is no reason to keep quiet about the rest.
        if ! _changed=$(stat -c %Y "$_dir" 2>/dev/null); then
            [ ! -d "$_dir" ] || say "partial cannot look at $_dir"
            continue
        fi
        _name=${_dir##*/}
        _owner= _epoch=
        if [ -s "$BASE/.sbx/$_name/owner" ]; then read -r _owner <"$BASE/.sbx/$_name/owner"; fi
        if [ -s "$BASE/.sbx/$_name/epoch" ]; then read -r _epoch <"$BASE/.sbx/$_name/epoch"; fi
        say "directory|$_name|$(($(date +%s) - _changed))|$_owner|$_epoch|$_dir"
    done
}
