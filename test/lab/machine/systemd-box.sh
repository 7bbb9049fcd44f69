#!/bin/bash
# systemd-box.sh start|stop DIR | run DIR PID | exec DIR COMMAND…
# A real systemd as process 1 of its own namespaces, over an overlay of this machine's root at DIR/root: what is
# written stays in memory. It shares the network, unless BOX_NETWORK is set. /run, /tmp and /dev are its own. Needs root.
# run: start, print "ready", then stop when process PID is gone, however it died, or when somebody stopped it.
set -euo pipefail
cmd=$1 D=$(realpath -m "$2"); shift 2
N=$(basename "$D") S=$D/state R=$D/root
leader() { cat "$S/leader" 2>/dev/null; }
inside() {
  nsenter -t "$(leader)" -m -u -i -n -p -C env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 "$@"
}
groups() { findmnt -rn -t cgroup,cgroup2 -o TARGET; }

start() {
  mkdir -p "$D"; mount -t tmpfs -o size=3g,mode=755 "$N" "$D"; mkdir "$D"/{upper,work,root,state}
  mount -t overlay "$N" -o "lowerdir=/,upperdir=$D/upper,workdir=$D/work" "$R"
  local units=$R/etc/systemd/system unit
  rm -rf "$units" "$R/var/log/journal"; mkdir -p "$units"; : >"$R/etc/machine-id"
  printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$R/etc/systemd/journald.conf"
  for unit in systemd-{timesyncd,udevd,udev-trigger,sysctl,modules-load,networkd,resolved}.service \
    systemd-udevd-{control,kernel}.socket; do ln -s /dev/null "$units/$unit"; done
  local unified controllers="" options="" group
  unified=$(findmnt -rn -t cgroup2 -o TARGET | head -1)
  # A machine with the controllers of version 1 hands them to the box as they are.
  if [ "$unified" != /sys/fs/cgroup ]; then
    controllers="memory pids cpu cpuacct"
    options="systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0"
  fi
  (
    for group in $unified ${controllers:+/sys/fs/cgroup/systemd $(printf '/sys/fs/cgroup/%s ' $controllers)}; do
      mkdir -p "$group/$N"; echo $BASHPID >"$group/$N/cgroup.procs"
    done
    exec setsid unshare -m -p -u -i -C ${BOX_NETWORK:+-n} --fork --kill-child=KILL --propagation private \
      bash -ec "$(declare -f become_init); become_init \"\$@\"" x "$R" "$controllers" "$options"
  ) </dev/null >"$S/console.log" 2>&1 &
  echo $! >"$S/pid"; disown
  for _ in {1..400}; do
    sleep .05
    # Its parent has other children before it.
    [ -s "$S/leader" ] || pgrep -P "$(<"$S/pid")" -x systemd >"$S/leader" || continue
    inside test -S /run/systemd/private 2>/dev/null && break
  done
  inside systemctl is-system-running --wait >/dev/null || { inside systemctl --failed >&2; cat "$S/console.log" >&2; return 1; }
}

become_init() {
  local root=$1 controllers=$2 options=$3 controller device link
  cd "$root"
  [ -z "${BOX_NETWORK:-}" ] || ip link set lo up
  mount -t proc x proc; mount -o bind,ro proc/sys proc/sys; mount -t sysfs -o ro x sys
  mount -t tmpfs -o mode=755 x run; mount -t tmpfs -o mode=1777 x tmp
  if [ "$controllers" ]; then
    mount -t tmpfs -o mode=755 x sys/fs/cgroup; cd sys/fs/cgroup; mkdir unified systemd $controllers
    mount -t cgroup2 x unified; mount -t cgroup -o none,name=systemd x systemd
    for controller in $controllers; do mount -t cgroup -o "$controller" x "$controller"; done
    cd "$root"
  else mount -t cgroup2 x sys/fs/cgroup; fi
  mount -t tmpfs -o mode=755 x dev; mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=666 x dev/pts; mount -t tmpfs -o mode=1777 x dev/shm
  for device in null,3 zero,5 full,7 random,8 urandom,9; do mknod -m666 "dev/${device%,*}" c 1 "${device#*,}"; done
  mknod -m666 dev/tty c 5 0
  ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
  for link in 0,stdin 1,stdout 2,stderr; do ln -s "fd/${link%,*}" "dev/${link#*,}"; done
  mkdir -p .old; pivot_root . .old; cd /; umount -l /.old; rmdir /.old; mount --make-rshared /
  exec env -i container=pg321-test PATH=/usr/sbin:/usr/bin \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog \
    /lib/systemd/systemd systemd.unit=basic.target systemd.log_target=journal $options
}

stop() {
  local pid group
  mountpoint -q "$D" || return 0
  pid=$(cat "$S/pid" 2>/dev/null) || pid=
  if [ "$pid" ]; then
    # With its process 1 everything in the box ends, and its own mounts go; unshare waits for that.
    kill -9 "$(leader)" 2>/dev/null || kill -9 "$pid" 2>/dev/null || :
    while kill -0 "$pid" 2>/dev/null; do sleep .02; done
  fi
  for _ in {1..100}; do umount "$R" 2>/dev/null && break; mountpoint -q "$R" || break; sleep .05; done
  umount "$R" 2>/dev/null || umount -l "$R" 2>/dev/null || :
  umount "$D" 2>/dev/null || umount -l "$D"
  for group in $(groups); do
    # What has ended a moment ago is counted for a moment more.
    for _ in {1..100}; do
      [ -d "$group/$N" ] || break
      find "$group/$N" -depth -type d -exec rmdir {} \; 2>/dev/null || :
      [ ! -d "$group/$N" ] || sleep .05
    done
  done
}

case $cmd in
  start) start;;
  stop) stop;;
  exec) inside "$@";;
  run)
    trap '' INT TERM HUP PIPE
    trap 'stop; rmdir "$D" 2>/dev/null || :' EXIT
    start && echo ready
    while kill -0 "$1" 2>/dev/null && mountpoint -q "$D"; do sleep .2; done;;
  *) exit 2;;
esac
