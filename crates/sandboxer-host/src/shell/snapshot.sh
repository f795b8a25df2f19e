# What the host is like at this moment, in the words `snapshot.rs` reads. What cannot be read is left out.
snapshot() {
    read -r _one _five _fifteen _ </proc/loadavg && say "$1 load $_one $_five $_fifteen"
    say "$1 cpus $(nproc 2>/dev/null)"
    awk -v key="$1" '/^MemTotal:/ { t = $2 } /^MemAvailable:/ { a = $2 } END { print key, "mem", t, a }' /proc/meminfo 2>/dev/null
    df -Pk "$BASE" 2>/dev/null | awk -v key="$1" 'NR == 2 { sub("%", "", $5); print key, "disk", $5, $4 }'
}
