#!/bin/sh
# Starts a daemon of the test host in the control groups of the host, whoever asks: `start sshd` or `start dockerd`.
for group in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/init/cgroup.procs; do
    [ ! -e "$group" ] || echo $$ >"$group"
done 2>/dev/null
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
case $1 in
    sshd) setsid /usr/sbin/sshd -D -e -f /etc/ssh/testbed/sshd_config </dev/null >>/run/testbed/sshd.log 2>&1 & ;;
    dockerd) setsid /usr/sbin/dockerd --host unix:///run/docker.sock </dev/null >>/run/testbed/dockerd.log 2>&1 & ;;
esac
echo $! >"/run/testbed/$1.pid"
