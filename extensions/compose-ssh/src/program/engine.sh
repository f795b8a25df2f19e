# The container engine and the compose command of this host.
#
# ENGINE   docker or podman
# COMPOSE  the command, split at blanks; FLAVOUR v2 (and later), v1 or podman

PLUGIN_DIRS="/usr/local/lib/docker/cli-plugins /usr/local/libexec/docker/cli-plugins /usr/lib/docker/cli-plugins /usr/libexec/docker/cli-plugins"

# Takes the operator's choice (may be empty), else looks: the plugin, docker-compose, podman-compose.
pick_compose() {
    COMPOSE=$1
    if [ -z "$COMPOSE" ]; then
        for _dir in "${DOCKER_CONFIG:-${HOME:-/}/.docker}/cli-plugins" $PLUGIN_DIRS; do
            if [ -x "$_dir/docker-compose" ]; then
                COMPOSE=$_dir/docker-compose
                break
            fi
        done
    fi
    if [ -z "$COMPOSE" ]; then
        for _name in docker-compose podman-compose; do
            if command -v "$_name" >/dev/null 2>&1; then
                COMPOSE=$_name
                break
            fi
        done
    fi
    [ -n "$COMPOSE" ] || die missing_prerequisite "the host has no docker compose, docker-compose or podman-compose"
    # shellcheck disable=SC2086
    set -- $COMPOSE
    _path=$(command -v "$1") || die missing_prerequisite "the host has no $1, which the compose command names"
    case $COMPOSE in
    *podman*)
        FLAVOUR=podman
        ENGINE=podman
        ;;
    "docker compose")
        FLAVOUR=v2
        ENGINE=docker
        ;;
    *)
        ENGINE=docker
        # The first generation is a Python script, the later ones are programs.
        if [ "$(head -c 2 "$_path")" = '#!' ]; then FLAVOUR=v1; else FLAVOUR=v2; fi
        ;;
    esac
    need "$ENGINE"
}

# Runs the compose command on nothing but our file: a clean environment, a directory without an .env, no plugins but
# the command itself. Registry logins of the host's own user are used where there are any.
compose() {
    mkdir -p "$STATE/empty"
    (
        cd "$STATE/empty" || exit 1
        if [ -x "$STATE/bin/podman" ]; then _podman_path="--podman-path $STATE/bin/podman"; else _podman_path=; fi
        _logins=${DOCKER_CONFIG:-${HOME:-/}/.docker}
        [ -s "$_logins/config.json" ] || _logins=
        # The operator's own file, taken as it is; ours only adds whose it is.
        if [ -s "$STATE/trusted" ]; then
            IFS= read -r _file <"$STATE/trusted"
            set -- -f "$BASE/$ID/$_file" -f "$STATE/compose.json" "$@"
            cd "$BASE/$ID" || exit 1
        else
            set -- -f "$STATE/compose.json" "$@"
        fi
        # shellcheck disable=SC2086
        exec env -i PATH="$PATH" HOME="$STATE/empty" ${DOCKER_HOST:+DOCKER_HOST="$DOCKER_HOST"} \
            ${XDG_RUNTIME_DIR:+XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR"} \
            ${CONTAINERS_CONF:+CONTAINERS_CONF="$CONTAINERS_CONF"} ${CONTAINERS_STORAGE_CONF:+CONTAINERS_STORAGE_CONF="$CONTAINERS_STORAGE_CONF"} \
            ${_logins:+DOCKER_CONFIG="$_logins"} COMPOSE_PROJECT_NAME="$ID" \
            $COMPOSE ${_podman_path} -p "$ID" "$@" </dev/null
    )
}

# As root, or not at all.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

is_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

# The last words of a log, on one line, without anything a terminal would act on.
last_words() { tail -c 1200 "$1" | tr '\n' ' ' | tr -cd '[:print:]'; }

# An engine that does not answer is a host that is away for a moment; anything else fails for good.
engine_failed() {
    _words=$(last_words "$2")
    case $_words in
    *"Cannot connect to the Docker daemon"* | *"Is the docker daemon running"* | *"connection refused"* | *"connection reset by peer"* | *"EOF"* | *"Error while fetching server API version"* | *"curl: ("*)
        die unavailable "$1: the container engine does not answer: $_words"
        ;;
    *"no space left on device"* | *"No space left on device"*)
        die capacity "$1: the host's disk is full: $_words"
        ;;
    *"Pool overlaps"* | *"pool overlaps"* | *"overlaps with other one"*)
        die unavailable "$1: the subnet was taken meanwhile: $_words"
        ;;
    esac
    die failed "$1: $_words"
}

PROJECT_LABEL=com.docker.compose.project

# Whether the engine can be asked at its socket, without its client: a request is answered in a tenth of the time. Not
# where a context could mean another engine.
at_socket() {
    if [ -z "$AT_SOCKET" ]; then if find_socket; then AT_SOCKET=yes; else AT_SOCKET=no; fi; fi
    [ "$AT_SOCKET" = yes ]
}
AT_SOCKET=

find_socket() {
    [ "$ENGINE" = docker ] && [ -z "${DOCKER_CONTEXT:-}" ] && command -v curl >/dev/null 2>&1 || return 1
    SOCKET=${DOCKER_HOST:-}
    if [ -z "$SOCKET" ]; then
        if grep -qs currentContext "${DOCKER_CONFIG:-${HOME:-/}/.docker}/config.json"; then return 1; fi
        SOCKET=unix:///var/run/docker.sock
    fi
    case $SOCKET in
    unix://*) SOCKET=${SOCKET#unix://} ;;
    *) return 1 ;;
    esac
    [ -S "$SOCKET" ] && [ -w "$SOCKET" ]
}

# The answers to these paths, one a line, over one connection. Fails when any of them is refused.
fetched() {
    for _path in "$@"; do
        shift
        set -- "$@" "http://engine/$_path"
    done
    curl -sS -f --max-time 20 --unix-socket "$SOCKET" "$@"
}

# Everything that carries a label, in the engine's words. Arguments: path, label.
asked() { fetched "$1filters=%7B%22label%22%3A%5B%22$2%3D$ID%22%5D%7D"; }

# The same as `listed`, from the socket. Quotes inside of values are escaped, so only keys match.
listed_at_socket() {
    case $1 in
    container) _json=$(asked 'containers/json?all=1&' "$PROJECT_LABEL") || return 1 ;;
    network) _json=$(asked 'networks?' "$PROJECT_LABEL") || return 1 ;;
    volume)
        _json=$(asked 'volumes?' "$PROJECT_LABEL") || return 1
        printf '%s' "$_json" | grep -o '"Name":"[A-Za-z0-9_.-]*"' | cut -d '"' -f 4
        return 0
        ;;
    image) _json=$(asked 'images/json?' dev.sandboxer.sandbox && asked 'images/json?' "$PROJECT_LABEL") || return 1 ;;
    esac
    printf '%s' "$_json" | grep -o '"Id":"[a-z0-9:]*"' | cut -d '"' -f 4
    return 0
}

# Ids of everything of this kind that belongs to the sandbox. Fails when the engine cannot be asked.
listed() {
    if at_socket; then
        listed_at_socket "$1"
        return
    fi
    case $1 in
    container) "$ENGINE" ps -aq --no-trunc --filter "label=$PROJECT_LABEL=$ID" ;;
    network) "$ENGINE" network ls -q --no-trunc --filter "label=$PROJECT_LABEL=$ID" ;;
    volume) "$ENGINE" volume ls -q --filter "label=$PROJECT_LABEL=$ID" ;;
    image)
        # Built by us, which carry our label, and by a trusted file, which carry the project's name.
        "$ENGINE" images -q --no-trunc --filter "label=dev.sandboxer.sandbox=$ID" &&
            "$ENGINE" images -q --no-trunc --filter "label=$PROJECT_LABEL=$ID"
        ;;
    esac
}

# Whether there is an image of this name.
has_image() {
    if at_socket; then fetched "images/$1/json" >/dev/null 2>&1; else "$ENGINE" image inspect "$1" >/dev/null 2>&1; fi
}

# `WHEN containers ALL OURS`: how many run on this host, and how many of them are of sandboxes. Nothing where the engine does
# not answer.
containers_count() {
    if at_socket; then
        fetched 'containers/json?' 'containers/json?filters=%7B%22label%22%3A%5B%22dev.sandboxer.sandbox%22%5D%7D' 2>/dev/null |
            awk -v key="$1" '{ count[NR] = gsub(/"Id":"/, "") } END { if (NR == 2) print key, "containers", count[1], count[2] }'
        return
    fi
    _all=$("$ENGINE" ps -q 2>/dev/null | wc -l) && _own=$("$ENGINE" ps -q --filter label=dev.sandboxer.sandbox 2>/dev/null | wc -l) &&
        say "$1 containers $_all $_own"
}

# Looks at the sandbox's containers once: $STATE/inspect holds the engine's own words, $STATE/states one line a container:
# service, process id, status, exit code, health.
look() {
    listed container >"$STATE/ids" || return 1
    if [ ! -s "$STATE/ids" ]; then
        printf '[]\n' >"$STATE/inspect"
        : >"$STATE/states"
        return 0
    fi
    if at_socket && look_at_socket; then return 0; fi
    # podman 4 calls it Healthcheck, docker Health.
    if [ "$ENGINE" = podman ]; then _health='{{if .State.Healthcheck}}{{.State.Healthcheck.Status}}{{end}}'; else _health='{{if .State.Health}}{{.State.Health.Status}}{{end}}'; fi
    # Ids are plain words.
    # shellcheck disable=SC2046
    "$ENGINE" inspect $(cat "$STATE/ids") >"$STATE/inspect" &&
        "$ENGINE" inspect -f "$STATE_WORDS$_health" $(cat "$STATE/ids") >"$STATE/states"
}

STATE_WORDS='{{index .Config.Labels "com.docker.compose.service"}} {{.State.Pid}} {{.State.Status}} {{.State.ExitCode}} '

# The same at the socket. Quotes inside of values are escaped, so only keys match; words in another order than this engine
# is known to use are left to its client.
look_at_socket() {
    # shellcheck disable=SC2046
    fetched $(sed 's,.*,containers/&/json,' "$STATE/ids") >"$STATE/answers" || return 1
    [ "$(wc -l <"$STATE/answers")" = "$(wc -l <"$STATE/ids")" ] || return 1
    awk '
        # What stands between the first `key` in `text` and the next `end`.
        function value(text, key, end, at) {
            at = index(text, key)
            if (!at) return ""
            text = substr(text, at + length(key))
            at = match(text, end)
            return at ? substr(text, 1, at - 1) : ""
        }
        {
            at = index($0, "\"State\":{\"Status\":\"")
            if (!at) exit 1
            state = substr($0, at)
            at = index(state, "\"Image\":")
            if (!at) exit 1
            state = substr(state, 1, at - 1)
            status = value(state, "\"Status\":\"", "\"")
            pid = value(state, "\"Pid\":", "[,}]")
            code = value(state, "\"ExitCode\":", "[,}]")
            service = value($0, "\"com.docker.compose.service\":\"", "\"")
            if (status == "" || pid == "" || code == "") exit 1
            print service, pid, status, code, value(state, "\"Health\":{\"Status\":\"", "\"")
        }' "$STATE/answers" >"$STATE/states" || return 1
    { printf '['; sed '$!s/$/,/' "$STATE/answers"; printf ']\n'; } >"$STATE/inspect"
}

# Says what was looked at last. No line break can be inside a value, so one line holds it all.
tell_containers() {
    printf 'inspect '
    tr -d '\n' <"$STATE/inspect"
    printf '\n'
}
