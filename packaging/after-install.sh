# Part of the packages' scripts, after their files are in place: makes the user, the directories and the config exactly
# as on a host without a package, with `pg321 install`, then restarts the service. It never starts a service that
# nobody has enabled, and not with a config that has mistakes: then the running service goes on with the old program.
before_package=/etc/systemd/system/pg321.service
result=0
if [ -e /etc/pg321/config.toml ] && [ ! -e "$before_package" ]; then
    /usr/bin/pg321 install >/dev/null || result=$?
else
    /usr/bin/pg321 install || result=$?
fi
case $result in
0) ;;
2) echo "pg321: the service was not restarted: correct this first, then run: systemctl restart pg321" >&2 ;;
*) exit "$result" ;;
esac
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload
    if [ "$result" -eq 0 ] && [ ! -e "$before_package" ] && systemctl --quiet is-enabled pg321.service 2>/dev/null; then
        # On Debian this respects policy-rc.d, which can keep services down.
        systemctl=systemctl
        if command -v deb-systemd-invoke >/dev/null; then systemctl=deb-systemd-invoke; fi
        $systemctl restart pg321.service ||
            echo "pg321: the service did not start; the reason: journalctl -u pg321" >&2
    fi
fi
