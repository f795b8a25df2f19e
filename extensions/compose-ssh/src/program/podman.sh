# What podman-compose does not do: networks with addresses, and arguments that it does not pass on.

# Makes the networks, and puts the names of their bridges into the wall. Lines `NAME SUBNET MODE BRIDGE`.
make_networks() {
    _set=
    while read -r _name _subnet _mode _bridge; do
        if [ "$_mode" = internal ]; then _internal=--internal; else _internal=; fi
        if ! podman network exists "$_name"; then
            # shellcheck disable=SC2086
            podman network create $_internal --disable-dns --subnet "$_subnet" --label "$PROJECT_LABEL=$ID" \
                --label "dev.sandboxer.sandbox=$ID" --label "dev.sandboxer.installation=$INSTALLATION" \
                --label "dev.sandboxer.epoch=$EPOCH" "$_name" >"$STATE/log" 2>&1 || engine_failed "cannot make a network" "$STATE/log"
        fi
        _real=$(podman network inspect -f '{{.NetworkInterface}}' "$_name" 2>/dev/null) || _real=
        [ -n "$_real" ] || die cannot_enforce "podman does not say how the bridge of a network is called"
        sed -i "s/\"$_bridge\"/\"$_real\"/g" "$STATE/wall.nft"
        _set="$_set${_set:+, }\"$_real\""
        _prefix=${_bridge%?}
    done <"$STATE/networks"
    [ -z "$_set" ] || sed -i "s/\"$_prefix\\*\"/{ $_set }/g" "$STATE/wall.nft"
}

# Gives the host an address on internal networks: podman, unlike docker, leaves it without one, and nobody could reach the
# services. The wall keeps the other direction shut.
join_networks() {
    while read -r _name _subnet _mode _; do
        [ "$_mode" = internal ] || continue
        _real=$(podman network inspect -f '{{.NetworkInterface}}' "$_name" 2>/dev/null) || continue
        _first=${_subnet%/*}
        as_root ip addr add "${_first%.*}.$((${_first##*.} + 1))/${_subnet#*/}" dev "$_real" 2>/dev/null || :
    done <"$STATE/networks"
}

# A podman for podman-compose that adds what belongs to a container. Its networks come from us alone.
write_podman() {
    mkdir -p "$STATE/bin"
    printf '#!/bin/sh\nreal=%s\nmore=%s\n' "$(command -v podman)" "$STATE/arguments" >"$STATE/bin/podman"
    cat >>"$STATE/bin/podman" <<'SCRIPT'
case ${1:-} in run | create) ;; *) exec "$real" "$@" ;; esac
name=
for word in "$@"; do case $word in --name=*) name=${word#--name=} ;; esac; done
verb=$1; shift
total=$#; at=0; drop=0; own=
grep -q "^$name --network=" "$more" && own=1
while [ "$at" -lt "$total" ]; do
word=$1; shift; at=$((at + 1))
if [ "$drop" = 1 ]; then drop=0; continue; fi
if [ -n "$own" ] && [ "$word" = --net ]; then drop=1; continue; fi
set -- "$@" "$word"
done
while read -r whose argument; do
[ "$whose" = "$name" ] && set -- "$argument" "$@"
done <"$more"
exec "$real" "$verb" "$@"
SCRIPT
    chmod 700 "$STATE/bin/podman"
}
