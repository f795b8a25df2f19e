# A workspace on a machine: a directory, and the guard that removes it in time.

# attach … TTL; then a line `DIGEST BYTES` (`- 0`: no tree), and the tree if it is asked for.
attach() {
    need timeout tar sha256sum head tee mkfifo
    IFS=' ' read -r _digest _bytes || die unavailable "the request did not arrive whole"
    begin
    printf '%s\n' "$INSTALLATION" >"$STATE/owner" || die capacity "cannot write below $STATE: is the disk full?"
    snapshot before
    guard_making "$(($1 + 600))"
    if logout_kills; then say "lacks guard"; fi
    say_tree "$_digest"
    while IFS=' ' read -r _what _; do
        case $_what in
        tree) receive_tree "$_digest" "$_bytes" ;;
        *) break ;;
        esac
    done
    [ "${_what:-}" = go ] || die unavailable "the request did not arrive whole"
    still
    place "$_digest"
    ready "$1"
    finish
}

# ready … TTL
ready() {
    [ -d "$BASE/$ID" ] && [ -d "$STATE" ] || die not_found "$ID is not on this machine"
    guard_ready "$1"
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
    forget
}

observe() {
    say_seen
    say seen
}

inventory() {
    say_directories "$BASE"/sbx-*
    say seen
}

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
    remove_now
    ;;
observe) observe ;;
deadline) deadline "$@" ;;
inventory) inventory ;;
*) die invalid "no verb $VERB" ;;
esac
