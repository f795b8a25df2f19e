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

# Everything that carries a label, in the engine's words. Arguments: path, label.
asked() {
    curl -sS -f --max-time 20 --unix-socket "$SOCKET" "http://engine/$1filters=%7B%22label%22%3A%5B%22$2%3D$ID%22%5D%7D"
}

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
