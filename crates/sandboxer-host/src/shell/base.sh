# What every program on a host starts with. POSIX sh; needs flock and setsid (util-linux) and coreutils.
#
# Words:   VERB BASE ID INSTALLATION EPOCH OPERATION …        (ours; never a value of a user's)
# Answers: lines `key value…` on standard output. `fail KIND MESSAGE` is the last line of a failure.
# Keeps:   $BASE/$ID           the sandbox's tree
#          $BASE/.sbx/$ID      what is known of it: epoch, deadline, running, lock …  ($STATE)
#          $BASE/.sbx/ended    `ID EPOCH TIME HOW` of those that ended, for a day: late effects are refused by it
set -u
umask 077
LC_ALL=C
export LC_ALL
: "${SSH_CONNECTION:=}" "${PROGRAM:=}"

# What is left in "$@" is the verb's own.
VERB=$1
BASE=$2
ID=$3
INSTALLATION=$4
EPOCH=$5
OPERATION=$6
shift 6

# A caller that went away does not end an effect half-way; the next epoch does.
trap '' PIPE

say() { printf '%s\n' "$*" 2>/dev/null || :; }

# KIND is one of the contract's error kinds.
die() {
    say "fail $1 $2"
    exit 3
}

# The rest of a process's stat line behind its name, which may hold anything: state ppid pgrp session …
stat_of() {
    IFS= read -r _stat 2>/dev/null <"/proc/$1/stat" || return 1
    printf '%s' "${_stat##*) }"
}

# Start time in clock ticks since boot: with the id it names a process for good.
start_of() {
    _fields=$(stat_of "$1") || return 1
    # shellcheck disable=SC2086
    set -- $_fields
    shift 19
    printf '%s' "$1"
}

group_of() {
    _fields=$(stat_of "$1") || return 1
    # shellcheck disable=SC2086
    set -- $_fields
    printf '%s' "$3"
}

# Seconds since boot, whole: no clock that anybody sets.
uptime_s() {
    read -r _up _ </proc/uptime
    printf '%s' "${_up%%.*}"
}

# The same in hundredths, as exact as the kernel says it.
uptime_cs() {
    read -r _up _ </proc/uptime
    printf '%s' "${_up%%.*}${_up##*.}"
}

boot_id() {
    read -r _boot </proc/sys/kernel/random/boot_id
    printf '%s' "$_boot"
}

need() {
    for _program in "$@"; do
        command -v "$_program" >/dev/null 2>&1 || die missing_prerequisite "the host has no $_program"
    done
}

# The base directory is ours alone, or we do not use it.
enter_base() {
    need flock setsid awk
    mkdir -p "$BASE/.sbx" 2>/dev/null || die failed "cannot make $BASE/.sbx on the host"
    for _dir in "$BASE" "$BASE/.sbx"; do
        if [ -L "$_dir" ] || ! [ -O "$_dir" ]; then
            die policy "$_dir on the host is a link or belongs to somebody else"
        fi
        [ -z "$(find "$_dir" -maxdepth 0 -perm /022)" ] || chmod go-w "$_dir" || die failed "cannot close $_dir to others"
    done
    STATE=$BASE/.sbx/$ID
}

# Whether the open descriptor is still the file of this name: a lock on a removed file locks nothing.
is_open() { [ "$1" -ef "/proc/$$/fd/$2" ]; }

# Epoch under which this sandbox ended, 0 if it did not.
ended_epoch() {
    [ -r "$BASE/.sbx/ended" ] || { printf 0; return; }
    awk -v id="$ID" '$1 == id && $2 > epoch { epoch = $2 } END { print epoch + 0 }' "$BASE/.sbx/ended"
}

# Takes the gate: one at a time reads and writes what is known of the sandbox.
open_gate() {
    _try=0
    while :; do
        mkdir -p "$STATE" || die failed "cannot make $STATE on the host"
        exec 8>"$STATE/gate" || die failed "cannot write below $STATE on the host"
        flock -w 10 8 || die unavailable "the sandbox is busy on the host"
        is_open "$STATE/gate" 8 && return 0
        exec 8>&-
        _try=$((_try + 1))
        [ "$_try" -lt 50 ] || die unavailable "the sandbox is busy on the host"
    done
}

shut_gate() { exec 8>&-; }

# Refuses a caller that is older than what was seen, and writes down what is seen now. The gate is held.
fence() {
    _seen=0
    if [ -s "$STATE/epoch" ]; then read -r _seen <"$STATE/epoch"; fi
    [ "$EPOCH" -ge "$_seen" ] || die fenced "epoch $EPOCH of $ID is over: $_seen was seen on the host"
    _over=$(ended_epoch)
    if [ "$EPOCH" -lt "$_over" ] || { [ "$VERB" = provision ] && [ "$EPOCH" = "$_over" ]; }; then
        # Nothing of it is here but what we made just now.
        [ "$_seen" != 0 ] || rm -rf "$STATE"
        die fenced "epoch $EPOCH of $ID is over: it ended under $_over"
    fi
    if [ "$EPOCH" != "$_seen" ]; then
        printf '%s\n' "$EPOCH" >"$STATE/epoch.new" && mv "$STATE/epoch.new" "$STATE/epoch" ||
            die failed "cannot write below $STATE on the host: is its disk full?"
    fi
}

# Ends what an earlier call left running. The gate is held, so nothing new can start meanwhile. INTERRUPTED holds when that
# was in the middle of something: what it asked of others, such as an engine, they may still be doing.
INTERRUPTED=
stop_running() {
    [ -s "$STATE/running" ] || return 0
    read -r _group _start _verb <"$STATE/running"
    [ "$_group" != "$GROUP" ] || return 0
    # Half a line, from a disk that was full, names nobody: it was written before anything was done.
    case $_group in 0 | 1 | *[!0-9]*) _verb= ;; esac
    [ -n "$_verb" ] || { rm -f "$STATE/running"; return 0; }
    _now=$(start_of "$_group") || _now=
    # A leader that started at another time is somebody else's: the group is long gone.
    if [ -z "$_now" ] || [ "$_now" = "$_start" ]; then kill -KILL "-$_group" 2>/dev/null && INTERRUPTED=yes; fi
    rm -f "$STATE/running"
}

# Whether somebody is removing the sandbox right now. The gate is held.
is_being_removed() {
    [ -s "$STATE/running" ] || return 1
    read -r _group _start _verb <"$STATE/running"
    [ "$_verb" = teardown ] && [ "$(start_of "$_group")" = "$_start" ]
}

# From here on this process alone changes the sandbox, until it ends or a newer epoch ends it.
begin() {
    enter_base
    GROUP=$(group_of $$) || die failed "cannot read /proc on the host"
    open_gate
    fence
    begin_locked
    shut_gate
}

# The same with the gate held and the fence passed.
begin_locked() {
    stop_running
    exec 9>"$STATE/lock" || die failed "cannot write below $STATE on the host"
    flock -w 10 9 || die unavailable "an earlier effect on $ID does not end on the host"
    printf '%s %s %s\n' "$GROUP" "$(start_of "$GROUP")" "$VERB" >"$STATE/running" ||
        die failed "cannot write below $STATE on the host: is its disk full?"
}

# Between two effects: whether we still are who we were.
still() {
    _seen=0
    if [ -s "$STATE/epoch" ]; then read -r _seen <"$STATE/epoch"; fi
    [ "$_seen" = "$EPOCH" ] || die fenced "epoch $EPOCH of $ID is over: $_seen was seen on the host"
}

finish() { rm -f "$STATE/running"; }

# Writes down that the sandbox ended, and how: `removed` or `deadline`. Lines older than a day go.
note_end() {
    exec 7>"$BASE/.sbx/ended.lock"
    flock -w 10 7 || return 1
    _time=$(date +%s)
    {
        if [ -s "$BASE/.sbx/ended" ]; then awk -v day="$((_time - 86400))" '$3 > day' "$BASE/.sbx/ended"; fi
        printf '%s %s %s %s\n' "$ID" "$EPOCH" "$_time" "$1"
    } >"$BASE/.sbx/ended.new" && mv "$BASE/.sbx/ended.new" "$BASE/.sbx/ended"
    _noted=$?
    exec 7>&-
    return "$_noted"
}

# One line of the receipt: kind, name, whether it was found, what is known of it now, and why.
item() { say "item $1 $2 $3 $4 ${5:-}"; }
