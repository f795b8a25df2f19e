# Trees: received into incoming/<operation>.<sandbox>, verified, and only then given their name. What was received once is
# kept for a day under its digest, so that the same tree is not sent again; a sandbox gets a copy. Whoever copies holds
# trees.lock with others, whoever removes holds it alone.

TREES_KEPT=8

# Whether it is kept; it is as good as new then, so that nobody removes it before it is copied.
has_tree() { [ -d "$BASE/.sbx/trees/$1" ] && touch -c "$BASE/.sbx/trees/$1"; }

# Removes what broke off on its way to this sandbox.
forget_incoming() { rm -rf "$BASE"/.sbx/incoming/*."$ID"; }

# Reads exactly this many bytes of a tar archive from standard input; DIGEST is the SHA-256 of them.
receive_tree() {
    _digest=$1
    _bytes=$2
    _in=$BASE/.sbx/incoming/$OPERATION.$ID
    forget_incoming
    mkdir -p "$_in/tree" "$BASE/.sbx/trees" || die failed "cannot make $_in on the host: is its disk full?"
    mkfifo "$_in/copy" || die failed "cannot make a pipe in $_in on the host"
    sha256sum <"$_in/copy" >"$_in/sum" &
    _summing=$!
    head -c "$_bytes" | tee "$_in/copy" | tar -x -f - -C "$_in/tree" --no-same-owner -p 2>"$_in/errors"
    _unpacked=$?
    wait "$_summing"
    read -r _sum _ <"$_in/sum" || _sum=
    if [ "$_sum" != "$_digest" ] || [ "$_unpacked" != 0 ]; then
        _why=$(head -c 300 "$_in/errors" | tr -c '[:print:]' ' ')
        rm -rf "$_in"
        die unavailable "the tree did not arrive whole${_why:+: $_why}"
    fi
    # Another sandbox may have brought the same tree meanwhile.
    mv -T "$_in/tree" "$BASE/.sbx/trees/$_digest" 2>/dev/null || has_tree "$_digest" ||
        die failed "cannot keep the tree on the host"
    rm -rf "$_in"
}

# Gives the sandbox its own copy. The name appears when the copy is whole.
place_tree() {
    [ -d "$BASE/$ID" ] && return 0
    exec 6>"$BASE/.sbx/trees.lock"
    flock -s -w 10 6 || die unavailable "trees are being removed on the host"
    has_tree "$1" || die unavailable "the tree that was kept is gone from the host"
    rm -rf "$STATE/tree"
    cp -a --reflink=auto "$BASE/.sbx/trees/$1" "$STATE/tree" || die failed "cannot copy the tree on the host: is its disk full?"
    exec 6>&-
    mv -T "$STATE/tree" "$BASE/$ID" || die failed "cannot place the tree at $BASE/$ID"
}

# An empty tree, for sandboxes without one.
place_empty() { mkdir -p "$BASE/$ID" || die failed "cannot make $BASE/$ID on the host"; }

# Trees that nobody used for a day, and all but the newest few, go.
prune_trees() {
    [ -d "$BASE/.sbx/trees" ] || return 0
    exec 6>"$BASE/.sbx/trees.lock"
    # Another time will do.
    flock -n 6 || { exec 6>&-; return 0; }
    find "$BASE/.sbx/trees" -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf {} + 2>/dev/null
    # Digests are plain words.
    # shellcheck disable=SC2012
    ls -1t "$BASE/.sbx/trees" 2>/dev/null | tail -n "+$((TREES_KEPT + 1))" | while read -r _old; do
        rm -rf "$BASE/.sbx/trees/$_old"
    done
    exec 6>&-
}
