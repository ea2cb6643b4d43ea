#!/bin/sh
# Runs in the machine with a service manager: installs the package, runs the tests, reboots, and runs what comes after a
# reboot. Between the two, a file says how many test programs failed; a machine that panics finds the one of its beginning.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
failed_before=/var/lib/agentbox-rig
mkdir -p /opt/agentbox
mount -o ro /dev/vdb /opt/agentbox
export AGENTBOX_RIG=vm AGENTBOX_TEST_GUARD=1 AGENTBOX_TEST_LIMITS=1 RUST_BACKTRACE=0
export AGENTBOX_BIN_DIR=/opt/agentbox/programs AGENTBOX_TESTING_BIN_DIR=/opt/agentbox/testing
cd /root
echo
echo "agentbox-rig: up, kernel $(uname -r), $(systemctl --version | head -n 1)"
if [ ! -e "$failed_before" ]; then
    echo 1 >"$failed_before"
    sync
    export AGENTBOX_BOOT=first
    # The people of the examples, and what NixOS would have made of these.
    useradd --create-home ada && useradd --create-home grace
    mkdir -p /etc/agentbox && cp /opt/agentbox/agentbox.json /etc/agentbox/
    dpkg --install /opt/agentbox/agentbox.deb >/dev/null || exec systemctl poweroff
    sh /opt/agentbox/run </dev/null
    echo $? >"$failed_before"
    sync
    exec systemctl reboot
fi
export AGENTBOX_BOOT=second
sh /opt/agentbox/run </dev/null
status=$(($? + $(cat "$failed_before")))
if [ "$status" -ne 0 ]; then
    journalctl --no-pager --lines=100 --unit=agentboxd.service
fi
echo
echo "agentbox-rig: ended $status"
exec systemctl poweroff
