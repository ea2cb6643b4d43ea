#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /run /opt/agentbox
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
mkdir -p /run/lock
ln -sf /proc/self/fd /dev/fd
mount -o ro /dev/vdb /opt/agentbox
export AGENTBOX_TEST_GUARD=1 RUST_BACKTRACE=0
export AGENTBOX_BIN_DIR=/opt/agentbox/programs AGENTBOX_TESTING_BIN_DIR=/opt/agentbox/testing
cd /root
echo
echo "agentbox-rig: up, security modules $(cat /sys/kernel/security/lsm)"
sh /opt/agentbox/run </dev/null
status=$?
echo
echo "agentbox-rig: ended $status"
sync
echo o >/proc/sysrq-trigger
sleep 60
