# The first process of a test host. Called twice: `enter` on this machine, which makes the control groups and the
# namespaces; then `live` inside them, which builds the machine and is its pid 1.
#
# Its standard input is a pipe that its owner holds. When the owner ends, however it ends, the pipe is at its end, this
# process ends, and the kernel ends everything in its namespaces: processes, mounts, interfaces.
set -eu
self=$0 stage=$1

join_groups() {
    local lines line name folder
    # Read to its end first: each move changes the file, and a reader half way would miss lines.
    mapfile -t lines </proc/self/cgroup
    for line in "${lines[@]}"; do
        IFS=: read -r _ name _ <<<"$line"
        name=${name#name=}
        folder=/sys/fs/cgroup/${name:-unified}
        [ -n "$name" ] || [ -d "$folder" ] || folder=/sys/fs/cgroup
        [ -e "$folder/cgroup.procs" ] || continue
        mkdir -p "$folder/$TB_NAME"
        if [ "$name" = cpuset ]; then
            cat "$folder/cpuset.cpus" >"$folder/$TB_NAME/cpuset.cpus"
            cat "$folder/cpuset.mems" >"$folder/$TB_NAME/cpuset.mems"
        fi
        echo $$ >"$folder/$TB_NAME/cgroup.procs"
    done
}

if [ "$stage" = enter ]; then
    join_groups
    exec 9</proc/self/ns/net
    exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child bash "$self" live
fi

mount --make-rprivate /
hostname "$TB_ALIAS"

# The cable to this machine.
ip link set lo up
ip link add eth0 type veth peer name "sbxtb$TB_NUMBER" netns /proc/self/fd/9
ip addr add "10.213.$TB_NUMBER.2/24" dev eth0
ip link set eth0 up
nsenter --net=/proc/self/fd/9 sh -c "
    ip addr add 10.213.$TB_NUMBER.1/24 dev sbxtb$TB_NUMBER && ip link set sbxtb$TB_NUMBER up"
exec 9<&-

# The disk: all that is written anywhere goes to a memory file system, over this machine's files as they are.
disk=$TB_FOLDER/disk
mkdir -p "$disk"
mount -t tmpfs -o "size=${TB_DISK_MIB}m,mode=755" disk "$disk"
mkdir "$disk"/{up,work,docker,containers,home,root}
mkdir -m 1777 "$disk"/{tmp,vartmp}
mount -t overlay -o "lowerdir=/,upperdir=$disk/up,workdir=$disk/work" overlay "$disk/root"
root=$disk/root
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
    # A group with processes of its own cannot hand controllers down.
    mkdir "$root/sys/fs/cgroup/init"
    while read -r pid; do
        echo "$pid" >"$root/sys/fs/cgroup/init/cgroup.procs" || :
    done <"$root/sys/fs/cgroup/cgroup.procs"
    read -r controllers <"$root/sys/fs/cgroup/cgroup.controllers" || :
    for controller in ${controllers:-}; do
        echo "+$controller" >"$root/sys/fs/cgroup/cgroup.subtree_control" || :
    done
else
    # The second version is left out of a hybrid machine: crun refuses those.
    mount -t tmpfs -o mode=755 cgroup "$root/sys/fs/cgroup"
    while IFS=: read -r _ name _; do
        [ -n "$name" ] || continue
        mkdir "$root/sys/fs/cgroup/${name#name=}"
        mount -t cgroup -o "$name" cgroup "$root/sys/fs/cgroup/${name#name=}"
    done </proc/self/cgroup
fi
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
# Folders of this machine that the host shall see are held open while it gets folders of its own on top of them.
mkdir "$root/run/shared"
number=0
while IFS= read -r folder; do
    [ -n "$folder" ] || continue
    number=$((number + 1))
    if [ -d "$folder" ]; then mkdir "$root/run/shared/$number"; else : >"$root/run/shared/$number"; fi
    mount --rbind "$folder" "$root/run/shared/$number"
done <<<"$TB_SHARED"
mount --bind "$disk/tmp" "$root/tmp"
mkdir -p "$root/var/lib/docker" "$root/var/lib/containers" "$root/etc/docker"
mount --bind "$disk/vartmp" "$root/var/tmp"
mount --bind "$disk/docker" "$root/var/lib/docker"
mount --bind "$disk/containers" "$root/var/lib/containers"
mount --bind "$disk/home" "$root/root"
chmod 700 "$root/root"
number=0
while IFS= read -r folder; do
    [ -n "$folder" ] || continue
    number=$((number + 1))
    if [ -d "$folder" ]; then
        mkdir -p "$root$folder"
    else
        mkdir -p "$(dirname "$root$folder")" && : >>"$root$folder"
    fi
    mount --move "$root/run/shared/$number" "$root$folder"
done <<<"$TB_SHARED"
mkdir -p "$root/run/testbed/up" "$root/run/old" "$root/run/sshd" "$root/run/lock" "$root/run/dbus"
mount --bind -o ro "$disk/up" "$root/run/testbed/up"

# Which programs of containers this machine has.
if [ -n "$TB_PLUGIN" ]; then
    for place in $TB_PLUGIN_AT; do
        mkdir -p "$(dirname "$root$place")"
        rm -f "$root$place"
        : >"$root$place"
        mount --bind "$TB_PLUGIN" "$root$place"
    done
fi
for program in $TB_HIDDEN; do
    rm -rf "$root$program"
done

cp -r "$TB_FOLDER/seed/." "$root/"
chmod 600 "$root/etc/ssh/testbed/key"
[ -z "$TB_SHELL" ] || sed -i "s|^\(root:.*:\)[^:]*\$|\1$TB_SHELL|" "$root/etc/passwd"

cd "$root"
pivot_root . run/old
umount -l /run/old
rmdir /run/old
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
unset "${!TB_@}"
cd /

/run/testbed/start sshd
[ ! -x /usr/sbin/dockerd ] || /run/testbed/start dockerd

# The rest of the world, as far as this machine can see: a network of its own behind a second cable, with a page at a
# public address and at the metadata address, and a resolver that writes down what it was asked.
ip netns add outside
ip link add eth1 type veth peer name eth0 netns outside
ip addr add 203.0.113.2/24 dev eth1
ip link set eth1 up
ip route add default via 203.0.113.1
ip netns exec outside sh -c '
    ip link set lo up
    ip link set eth0 up
    for address in 203.0.113.1/24 203.0.113.53/24; do ip addr add "$address" dev eth0; done
    for address in 198.51.100.80 198.51.100.81 169.254.169.254; do ip addr add "$address/32" dev lo; done
    busybox httpd -p 80 -h /run/testbed/outside
    exec python3 /run/testbed/resolver.py 203.0.113.53 /run/testbed/asked >/dev/null 2>&1 &'
echo ready
# Bash reaps what is left to it while it waits for a line that never comes.
while read -r _; do :; done
