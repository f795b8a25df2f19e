# The guard: keeps the deadline when nobody of ours is left. A shell that waits beside the sandbox; the deadline is a
# file, so moving it needs no signal. Uptime counts, so a clock that is set moves nothing.
#
# $STATE/deadline   `UPTIME BOOT WALL`: hundredths of a second since that boot, and the same moment in seconds since 1970,
#                   which counts after a reboot
# $STATE/expired    the guard (or whoever came first) saw it pass: from here on it is not moved any more

# Sets the deadline to this many seconds from now. The gate is held.
set_deadline() {
    printf '%s %s %s\n' "$(($(uptime_cs) + 100 * $1))" "$(boot_id)" "$(($(date +%s) + $1))" >"$STATE/deadline.new" &&
        mv "$STATE/deadline.new" "$STATE/deadline" || die failed "cannot write the deadline: is the host's disk full?"
}

# Seconds left, begun ones whole, 0 when it passed; nothing when there is no deadline.
seconds_left() {
    [ -s "$STATE/deadline" ] || return 1
    read -r _up _boot _wall <"$STATE/deadline" || return 1
    if [ "$_boot" = "$(boot_id)" ]; then _left=$(((_up - $(uptime_cs) + 99) / 100)); else _left=$((_wall - $(date +%s))); fi
    [ "$_left" -gt 0 ] || _left=0
    printf '%s' "$_left"
}

# Whether the sandbox whose gate we hold is still the one that was made: one that ended under our hands may have had its
# state removed, and made again by our own asking for the gate. The fence was passed just now.
is_here() {
    [ -s "$STATE/owner" ] && [ ! -e "$STATE/expired" ] && [ "$_seen" -gt "$_over" ]
}

# Says that it is not here, and leaves nothing of the asking.
not_here() {
    [ -s "$STATE/owner" ] || rm -rf "$STATE"
    die not_found "$ID is not here any more: its time has passed, or it was removed"
}

guard_lives() {
    [ -s "$STATE/guard" ] || return 1
    read -r _pid _start <"$STATE/guard"
    [ "$(start_of "$_pid")" = "$_start" ]
}

# Starts the guard, unless it runs. It holds none of our descriptors, and its session is its own.
start_guard() {
    guard_lives && return 0
    printf '%s\n' "$PROGRAM" >"$STATE/program" || die failed "cannot write below $STATE: is the host's disk full?"
    # Started from a shell that ends: nobody here waits for it.
    (
        cd "$STATE" || exit 1
        setsid /bin/sh ./program guard "$BASE" "$ID" "$INSTALLATION" "$EPOCH" "$OPERATION" \
            </dev/null >/dev/null 2>&1 7>&- 8>&- 9>&- &
        printf '%s %s\n' "$!" "$(start_of "$!")" >./guard
    )
    guard_lives || die failed "the guard did not start on the host"
}

# Ends the guard, if it runs and is not us.
stop_guard() {
    [ -s "$STATE/guard" ] || return 0
    read -r _pid _start <"$STATE/guard"
    if [ "$_pid" != "$$" ] && [ "$(start_of "$_pid")" = "$_start" ]; then kill -KILL "-$_pid" 2>/dev/null || kill -KILL "$_pid" 2>/dev/null || :; fi
}

# Whether logins here end what they started when they leave: then no guard of ours would stay.
logout_kills() {
    [ "$(id -u)" != 0 ] && [ -d /run/systemd/system ] && command -v busctl >/dev/null 2>&1 &&
        busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
            KillUserProcesses 2>/dev/null | grep -q true
}

# The guard itself.
guard() {
    STATE=$BASE/.sbx/$ID
    GROUP=$(group_of $$) || exit 1
    _pause=1
    _waited=0
    while [ -d "$STATE" ]; do
        if ! _left=$(seconds_left); then
            # Only the remains of something that was asked about a sandbox that had ended.
            [ -s "$STATE/owner" ] || rm -rf "$STATE"
            _left=5
        fi
        if [ "$_left" -gt 0 ]; then
            [ "$_left" -le 5 ] || _left=5
            sleep "$_left"
            continue
        fi
        open_gate
        _left=$(seconds_left) || _left=1
        if [ "$_left" -gt 0 ]; then
            shut_gate
            continue
        fi
        : >"$STATE/expired"
        # Whoever removes it already is let finish; unless that takes so long that it may hang.
        if [ "$_waited" -lt 20 ] && is_being_removed; then
            shut_gate
            sleep 1
            _waited=$((_waited + 1))
            continue
        fi
        # Under the newest epoch there is; whoever comes with a newer one takes the removal over.
        if [ -s "$STATE/epoch" ]; then read -r EPOCH <"$STATE/epoch"; fi
        begin_locked
        shut_gate
        ENDING=deadline
        # Alone in this shell: what fails inside ends only the try.
        (remove) && exit 0
        exec 9>&-
        sleep "$_pause"
        [ "$_pause" -ge 30 ] || _pause=$((_pause * 2))
    done
}
