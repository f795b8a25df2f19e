# The verbs of this backend.

# Waits until every container runs (or ended well), and is healthy where that is asked for.
wait_running() {
    _until=$(($(uptime_s) + $1))
    while :; do
        look >"$STATE/log" 2>&1 || engine_failed "cannot inspect containers" "$STATE/log"
        _bad=$(awk -v healthy="$2" '
            $3 == "exited" && $4 == 0 { next }
            $3 == "exited" || $3 == "dead" { print $1, "ended with code", $4; found = 1; exit }
            $3 != "running" { wait = $1; next }
            healthy == "healthy" && $5 == "unhealthy" { print $1, "is unhealthy"; found = 1; exit }
            healthy == "healthy" && $5 == "starting" { wait = $1 }
            END { if (!found && wait != "") print "wait", wait }' "$STATE/states")
        case $_bad in
        '') return 0 ;;
        wait*)
            [ "$(uptime_s)" -lt "$_until" ] || die timeout "the service ${_bad#wait } did not become ready"
            sleep 0.1
            ;;
        *)
            _service=${_bad%% *}
            "$ENGINE" logs --tail 5 "$("$ENGINE" ps -aq --filter "label=$PROJECT_LABEL=$ID" --filter "label=com.docker.compose.service=$_service" | head -n 1)" >"$STATE/log" 2>&1
            die failed "the service $_bad: $(last_words "$STATE/log")"
            ;;
        esac
    done
}

# Reads the next LENGTH bytes of standard input into a file.
receive() {
    head -c "$2" >"$1" || die failed "cannot write $1: is the host's disk full?"
    [ "$(wc -c <"$1")" = "$2" ] || die unavailable "the request did not arrive whole"
}

# provision … SUBNETS PREFIX TTL NAMES WAIT HEALTH TARGETS
#
# Two lines come first: the compose command (or nothing), and the tree's digest and size (`- 0`: none); they are read when
# the connection stands, so the caller looks at its tree meanwhile. We say what we have; the caller answers with `compose LEN`, `wall LEN`, `builds LEN` and their bytes, then the tree if
# we lack it.
provision() {
    _names=$4
    need timeout tar sha256sum head tee mkfifo
    IFS= read -r _choice && IFS=' ' read -r _digest _bytes || die unavailable "the request did not arrive whole"
    case $_digest in - | [0-9a-f]*) ;; *) die invalid "the digest of the tree is none" ;; esac
    begin
    pick_compose "$_choice"
    # Whoever removes it asks the same engine.
    printf '%s\n' "$INSTALLATION" >"$STATE/owner" && printf '%s\n' "$COMPOSE" >"$STATE/choice" ||
        die capacity "cannot write below $STATE: is the host's disk full?"
    say "engine $ENGINE $FLAVOUR"
    if ! is_root; then say "lacks root"; fi
    command -v nft >/dev/null 2>&1 || say "lacks nft"
    if logout_kills; then say "lacks guard"; fi
    # Its lines may come at any time before the end.
    { snapshot before; containers_count before; } 8>&- 9>&- &
    claim_subnet "$1" "$2"
    say "subnet $SUBNET"
    for _name in $(printf '%s' "$_names" | tr ',' ' '); do
        getent ahostsv4 "$_name" 2>/dev/null | awk -v name="$_name" '!seen[$1]++ { print "name", name, $1 }'
    done
    guard_making "$(($3 + 900))"
    say_tree "$_digest"
    while IFS=' ' read -r _what _length; do
        case $_what in
        compose) receive "$STATE/compose.json" "$_length" ;;
        networks) receive "$STATE/networks" "$_length" ;;
        arguments) receive "$STATE/arguments" "$_length" ;;
        trusted) receive "$STATE/trusted" "$_length" ;;
        wall) receive "$STATE/wall.nft" "$_length" ;;
        builds) receive "$STATE/builds" "$_length" ;;
        tree)
            receive_tree "$_digest" "$_bytes"
            ;;
        go) break ;;
        *) die unavailable "the request did not arrive whole" ;;
        esac
    done
    [ "${_what:-}" = go ] || die unavailable "the request did not arrive whole"
    still
    place "$_digest"
    if [ "$FLAVOUR" = podman ] && [ -s "$STATE/networks" ]; then
        make_networks
        write_podman
    fi
    if [ -s "$STATE/wall.nft" ]; then raise_wall; fi
    if [ -s "$STATE/builds" ]; then
        still
        . "$STATE/builds"
    fi
    still
    # Only a trusted file has anything left to build.
    if [ -s "$STATE/trusted" ]; then _build=; else _build=--no-build; fi
    compose up -d $_build >"$STATE/up.log" 2>&1 || engine_failed "compose up failed" "$STATE/up.log"
    # podman-compose ends well whatever became of its containers.
    if [ "$FLAVOUR" = podman ]; then
        [ -n "$(listed container)" ] || {
            grep -i '^error' "$STATE/up.log" >"$STATE/log" || cp "$STATE/up.log" "$STATE/log"
            engine_failed "compose up made no container" "$STATE/log"
        }
        if [ -s "$STATE/networks" ]; then join_networks; fi
    fi
    say made
}

# A copy of a part of the tree, made before anything of the sandbox runs; once.
part() {
    mkdir -p "$STATE/copies"
    [ ! -e "$STATE/copies/$1" ] || return 0
    if [ -e "$BASE/$ID/$2" ]; then
        cp -a "$BASE/$ID/$2" "$STATE/copies/$1" || die failed "cannot copy a part of the tree: is the host's disk full?"
    else
        mkdir "$STATE/copies/$1"
    fi
}

# One image of the sandbox's own. Arguments: its tag, then the engine's build options, the context last. One that is
# there is not built again: its context may have been written to by now.
build() {
    if has_image "$1"; then return 0; fi
    # What an earlier try left is forgotten before its words are.
    forget_layers
    if ! [ -e "$STATE/images" ]; then
        "$ENGINE" images -aq >"$STATE/images.new" 2>>"$STATE/build.log" && mv "$STATE/images.new" "$STATE/images" ||
            engine_failed "cannot list images" "$STATE/build.log"
    fi
    shift
    (
        cd "$BASE/$ID" || exit 1
        DOCKER_BUILDKIT=0 "$ENGINE" build "$@" </dev/null
    ) >>"$STATE/build.log" 2>&1 || {
        forget_layers
        engine_failed "building an image failed" "$STATE/build.log"
    }
    # Nothing of it is without a name, so nothing is to be forgotten.
    : >"$STATE/build.log"
}

# Ids in the words of builds that did not come to their end: containers that ran a step, or layers.
words_of_build() { [ ! -s "$STATE/build.log" ] || sed -n "s/^ ---> $1\([0-9a-f]\{12\}\)\$/\1/p" "$STATE/build.log"; }

# Whether a container is a step of a build of this sandbox: what a build prints is anybody's, but each of its containers
# knows the sandbox's name as a host.
is_own_step() { "$ENGINE" inspect -f '{{.HostConfig.ExtraHosts}}' "$1" 2>/dev/null | grep -q "$ID"; }

# A build that did not come to its end leaves containers and layers that nobody named and that carry no label. Layers that
# have a name, or that were there before our first build, are not ours to remove.
forget_layers() {
    for _container in $(words_of_build 'Running in '); do
        is_own_step "$_container" && "$ENGINE" rm -f -v "$_container"
    done >/dev/null 2>&1
    for _layer in $(words_of_build ''); do
        ! grep -qsx "$_layer" "$STATE/images" &&
            [ "$("$ENGINE" image inspect -f '{{len .RepoTags}}' "$_layer" 2>/dev/null)" = 0 ] &&
            "$ENGINE" rmi "$_layer"
    done >/dev/null 2>&1
}

# ready … SECONDS HEALTH TTL TARGETS
ready() {
    [ -s "$STATE/subnet" ] && read -r SUBNET <"$STATE/subnet" || die not_found "$ID is not on this host"
    wait_running "$1" "$2"
    # Nobody else may speak while this long line is said.
    wait
    tell_containers
    { snapshot after; containers_count after; } 8>&- 9>&- &
    try_walls "$(printf '%s' "$4" | tr ',' ' ')" "$(awk '$2 > 0 { print $1 "=" $2 }' "$STATE/states")"
    guard_ready "$3"
    wait
    say "user $(id -un 2>/dev/null)"
    say ready
}

# Hundredths of a second that an engine is watched for what a caller asked of it that was ended in the middle.
SETTLING=250

# Removes everything, in rounds, until a whole round finds nothing; and nothing comes any more, where somebody was ended in
# the middle of making it.
remove() {
    forget_layers
    for _container in $(words_of_build 'Running in '); do
        if is_own_step "$_container"; then
            item container "$_container" true present "a step of a build"
            return 1
        fi
    done
    _round=0
    _quiet=$(uptime_cs)
    while :; do
        _round=$((_round + 1))
        _left=0
        for _kind in container network volume image; do
            { listed "$_kind" >"$STATE/list.$_kind" 2>"$STATE/log.$_kind" && : >"$STATE/ok.$_kind"; } &
        done
        wait
        for _kind in container network volume image; do
            if ! [ -e "$STATE/ok.$_kind" ]; then
                say "item $_kind ? false unknown $(last_words "$STATE/log.$_kind")"
                rm -f "$STATE"/ok.*
                return 1
            fi
        done
        rm -f "$STATE"/ok.*
        for _kind in container network volume image; do
            sort -u "$STATE/list.$_kind" >"$STATE/found.$_kind"
            [ -s "$STATE/found.$_kind" ] || continue
            _left=1
            cat "$STATE/found.$_kind" >>"$STATE/removed.$_kind"
            # Containers first, since they hold the rest; then the rest at once.
            if [ "$_kind" = container ]; then
                remove_all container "$STATE/found.container"
            else
                remove_all "$_kind" "$STATE/found.$_kind" &
            fi
        done
        wait
        if [ "$_left" = 0 ]; then
            [ "$INTERRUPTED" = yes ] && [ "$(uptime_cs)" -lt "$((_quiet + SETTLING))" ] || break
            _round=0
            sleep 0.2
            continue
        fi
        _quiet=$(uptime_cs)
        forget_layers
        if [ "$_round" -ge 6 ]; then
            for _kind in container network volume image; do
                while read -r _name; do item "$_kind" "$_name" true present "$(last_words "$STATE/log.$_kind")"; done <"$STATE/found.$_kind"
            done
            return 1
        fi
        if [ "$_round" -ge 3 ]; then sleep 0.3; fi
    done
    for _kind in container network volume image; do
        if [ -s "$STATE/removed.$_kind" ]; then
            sort -u "$STATE/removed.$_kind" | while read -r _name; do item "$_kind" "$_name" true absent; done
        else
            item "$_kind" - false absent
        fi
    done
    # An engine that died while it made a network leaves the bridge and knows nothing of it.
    if [ -s "$STATE/compose.json" ] && command -v ip >/dev/null 2>&1; then
        for _bridge in $(grep -o 'bridge\.name":"sbx[a-z0-9]*"' "$STATE/compose.json" | cut -d '"' -f 3); do
            ip link show "$_bridge" >/dev/null 2>&1 || continue
            as_root ip link del "$_bridge" 2>/dev/null || :
            if ip link show "$_bridge" >/dev/null 2>&1; then
                item bridge "$_bridge" true present
                return 1
            fi
            item bridge "$_bridge" true absent
        done
    fi
    _found=false
    if command -v nft >/dev/null 2>&1 && wall_stands; then
        _found=true
        drop_wall
        if wall_stands; then
            item packet_filter "$TABLE" true present
            return 1
        fi
    fi
    item packet_filter "$TABLE" "$_found" absent
    _found=false
    if [ -e "$BASE/$ID" ] || [ -L "$BASE/$ID" ]; then
        _found=true
        rm -rf "$BASE/$ID" 2>"$STATE/log"
        # What a container wrote as another user, only root can remove.
        if [ -e "$BASE/$ID" ] && is_root; then as_root rm -rf "$BASE/$ID" 2>"$STATE/log"; fi
        if [ -e "$BASE/$ID" ]; then
            item directory "$BASE/$ID" true present "$(last_words "$STATE/log")"
            return 1
        fi
    fi
    item directory "$BASE/$ID" "$_found" absent
    drop_claim
    forget
}

remove_all() {
    # Ids are plain words.
    # shellcheck disable=SC2046
    case $1 in
    container) "$ENGINE" rm -f -v $(cat "$2") ;;
    image) "$ENGINE" rmi -f $(cat "$2") ;;
    volume) "$ENGINE" volume rm -f $(cat "$2") ;;
    network)
        "$ENGINE" network rm $(cat "$2") || {
            # Endpoints that a daemon's death left behind keep a network; they are taken off by name.
            while read -r _network; do
                for _end in $("$ENGINE" network inspect -f '{{range $id, $end := .Containers}}{{$id}} {{end}}' "$_network" 2>/dev/null); do
                    "$ENGINE" network disconnect -f "$_network" "$_end"
                done
                "$ENGINE" network rm "$_network"
            done <"$2"
        }
        ;;
    esac >"$STATE/log.$1" 2>&1 || :
}

# logs … now|follow TAIL [SERVICE]: what the services print, as the compose command shows it.
logs() {
    STATE=$BASE/.sbx/$ID
    [ -s "$STATE/choice" ] || { echo "sandboxer: $ID is not on this host" >&2; exit 125; }
    read -r _choice <"$STATE/choice"
    pick_compose "$_choice"
    case $1 in
    follow) set -- -f --tail "$2" ${3:+"$3"} ;;
    *) set -- --tail "$2" ${3:+"$3"} ;;
    esac
    [ "$FLAVOUR" = podman ] || set -- --no-color "$@"
    compose logs "$@"
}

# teardown …
teardown() {
    IFS= read -r _choice || _choice=
    begin
    how_ended
    # The engine that made it, unless the caller knows better.
    if [ -z "$_choice" ] && [ -s "$STATE/choice" ]; then read -r _choice <"$STATE/choice" || _choice=; fi
    pick_compose "$_choice"
    remove_now
}

# observe …
observe() {
    IFS= read -r _choice || _choice=
    say_seen
    pick_compose "$_choice"
    "$ENGINE" ps -a --filter "label=$PROJECT_LABEL=$ID" --format '{{.State}}' >/dev/null 2>&1 || die unavailable "the container engine does not answer"
    "$ENGINE" ps -a --filter "label=$PROJECT_LABEL=$ID" --format '{{.State}}' |
        awk '{ all++ } $1 == "running" || $1 ~ /^Up/ { up++ } END { print "containers", up + 0, all + 0 }'
    say seen
}

# inventory …: everything on this host that looks like a sandbox.
inventory() {
    IFS= read -r _choice || _choice=
    pick_compose "$_choice"
    # shellcheck disable=SC2016
    _form='{{.ID}}|{{.Label "com.docker.compose.project"}}|{{.Label "dev.sandboxer.sandbox"}}|{{.Label "dev.sandboxer.installation"}}|{{.Label "dev.sandboxer.epoch"}}'
    {
        "$ENGINE" ps -a --no-trunc --format "container|$_form" &&
            "$ENGINE" network ls --no-trunc --format "network|$_form" &&
            "$ENGINE" volume ls --format "volume|{{.Name}}|${_form#*|}"
    } >"${TMPDIR:-/tmp}/.sbx-inventory.$$" 2>/dev/null
    _asked=$?
    awk -F'|' '$3 ~ /^(sbx|e2e)-/ || $4 != "" { print "thing|" $0 }' "${TMPDIR:-/tmp}/.sbx-inventory.$$"
    rm -f "${TMPDIR:-/tmp}/.sbx-inventory.$$"
    [ "$_asked" = 0 ] || say "partial the container engine does not answer"
    say_directories "$BASE"/*
    say seen
}

# probe …: what the host is like and what it lacks.
probe() {
    IFS= read -r _choice || _choice=
    mkdir -p "$BASE" 2>/dev/null
    snapshot now
    for _program in flock setsid timeout tar sha256sum nft nsenter ip awk bash; do
        command -v "$_program" >/dev/null 2>&1 || say "lacks $_program"
    done
    if ! is_root; then say "lacks root"; fi
    if logout_kills; then say "lacks guard"; fi
    say "fact kernel $(uname -r)"
    say "fact user $(id -un)"
    (pick_compose "$_choice" && say "fact engine $ENGINE" && say "fact compose $FLAVOUR" &&
        say "fact engine_version $("$ENGINE" version --format '{{.Server.Version}}' 2>/dev/null || "$ENGINE" version --format '{{.Version}}' 2>/dev/null)" &&
        containers_count now)
    say seen
}

case $VERB in
provision)
    provision "$@"
    ready "$5" "$6" "$3" "$7"
    finish
    ;;
ready)
    enter_base
    pick_compose "$(IFS= read -r _choice && printf '%s' "$_choice")"
    ready "$@"
    ;;
guard)
    pick_compose "$(cat "$BASE/.sbx/$ID/choice" 2>/dev/null)"
    guard
    ;;
teardown) teardown ;;
observe) observe ;;
logs) logs "$@" ;;
deadline) deadline "$@" ;;
inventory) inventory ;;
probe) probe ;;
*) die invalid "no verb $VERB" ;;
esac
