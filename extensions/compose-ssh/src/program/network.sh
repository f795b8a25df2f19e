# The sandbox's addresses, and the wall around them.

# Of the networks A.B.C.D (all of one size) in this list, takes the first that overlaps nothing the host can route to and
# nobody else has claimed. A claim is a file that names its sandbox; one whose sandbox is gone is void.
claim_subnet() {
    mkdir -p "$BASE/.sbx/subnets"
    if [ -s "$STATE/subnet" ]; then
        read -r SUBNET <"$STATE/subnet"
        return 0
    fi
    need ip
    { ip -4 route show table all; ip -4 -o addr show | awk '{ print $4 }'; } >"$STATE/routes" 2>/dev/null ||
        die failed "cannot read the host's routes"
    exec 7>"$BASE/.sbx/subnets.lock"
    flock -w 10 7 || die unavailable "the host's subnets are being handed out"
    for _net in $(free_subnets "$1" "$2" <"$STATE/routes"); do
        _claim=$BASE/.sbx/subnets/$_net
        if [ -s "$_claim" ]; then
            read -r _owner <"$_claim"
            [ -d "$BASE/.sbx/$_owner" ] && [ "$_owner" != "$ID" ] && continue
        fi
        printf '%s\n' "$ID" >"$_claim" && printf '%s\n' "$_net" >"$STATE/subnet" || die failed "cannot claim a subnet: is the host's disk full?"
        SUBNET=$_net
        exec 7>&-
        return 0
    done
    exec 7>&-
    die capacity "no subnet is free on the host"
}

# Those of the list (comma-separated, of this prefix length) that overlap no route on standard input.
free_subnets() {
    awk -v list="$1" -v prefix="$2" '
        function number(text, part) { split(text, part, "."); return ((part[1] * 256 + part[2]) * 256 + part[3]) * 256 + part[4] }
        BEGIN { size = 2 ^ (32 - prefix) }
        {
            word = $1
            if (word ~ /^(unicast|local|broadcast|blackhole|unreachable|prohibit|throw|multicast|anycast)$/) word = $2
            if (word !~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(\/[0-9]+)?$/) next
            split(word, cidr, "/")
            length_ = cidr[2] == "" ? 32 : cidr[2]
            if (length_ + 0 == 0) next
            width = 2 ^ (32 - length_)
            from[++count] = int(number(cidr[1]) / width) * width
            to[count] = from[count] + width
        }
        END {
            many = split(list, nets, ",")
            for (i = 1; i <= many; i++) {
                first = number(nets[i]); free = 1
                for (j = 1; j <= count; j++) if (first < to[j] && from[j] < first + size) free = 0
                if (free) print nets[i]
            }
        }'
}

drop_claim() {
    for _claim in "$BASE/.sbx/subnets"/*; do
        [ -f "$_claim" ] || continue
        read -r _owner <"$_claim" || continue
        if [ "$_owner" = "$ID" ]; then rm -f "$_claim"; fi
    done
}

TABLE=$(printf '%s' "$ID" | tr '-' '_')

# Puts the wall up: one table of our own in the packet filter, replaced as one.
raise_wall() {
    need nft
    as_root nft -f "$STATE/wall.nft" >"$STATE/wall.log" 2>&1 || engine_failed "cannot put up the packet filter" "$STATE/wall.log"
}

wall_stands() { as_root nft list table inet "$TABLE" >/dev/null 2>&1; }

drop_wall() {
    command -v nft >/dev/null 2>&1 || return 0
    as_root nft delete table inet "$TABLE" 2>/dev/null || :
}

# Tries, from inside each container's network, to reach what must not be reached. One line each: container, what was
# tried, and `refused` or `reached`.
try_walls() {
    [ "$1" != none ] || return 0
    command -v nsenter >/dev/null 2>&1 && command -v bash >/dev/null 2>&1 && is_root || return 0
    _neighbour=
    for _claim in "$BASE/.sbx/subnets"/*; do
        [ -f "$_claim" ] || continue
        [ "$_claim" = "$BASE/.sbx/subnets/$SUBNET" ] && continue
        _neighbour=${_claim##*/}
    done
    _gateway=${SUBNET%.*}.$((${SUBNET##*.} + 1))
    # A service of the host that certainly listens: the one we came in by, else the first listener.
    _port=${SSH_CONNECTION##* }
    _own=$(printf '%s' "${SSH_CONNECTION:-}" | awk '{ print $3 }')
    case $_port in
    '' | *[!0-9]*) _port=$(awk 'NR > 1 && $4 == "0A" && $2 ~ /^00000000:/ { split($2, a, ":"); print a[2]; exit }' /proc/net/tcp) && _port=$(printf '%d' "0x${_port:-16}") ;;
    esac
    _targets="$1 host_service:$_gateway:$_port"
    case $_own in
    '' | 127.* | *:*) ;;
    *) _targets="$_targets host_address:$_own:$_port" ;;
    esac
    if [ -n "$_neighbour" ]; then _targets="$_targets neighbour:${_neighbour%.*}.$((${_neighbour##*.} + 2)):80"; fi
    for _pair in $2; do
        _service=${_pair%%=*}
        # One process enters and tries them all at once; what has not answered after a second is refused.
        # shellcheck disable=SC2086
        as_root nsenter -t "${_pair#*=}" -n bash -c "$TRY" - $_targets 2>/dev/null |
            while read -r _what _address _came; do say "probe $_service $_what $_address $_came"; done &
    done
    wait
}

# shellcheck disable=SC2016
TRY='for target; do
    (
        address=${target#*:}
        if timeout 1 bash -c ": </dev/tcp/${address%:*}/${address##*:}" 2>/dev/null; then came=reached; else came=refused; fi
        echo "${target%%:*} $address $came"
    ) &
done
wait'
