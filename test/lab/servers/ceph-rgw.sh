#!/bin/bash
# ceph-rgw.sh start|run|stop|down|up DIR PORT [PID]
# A Ceph RADOS Gateway with its own monitor and OSD (in memory), on the loopback address, all in DIR.
# run: start, then stop and remove DIR when process PID is gone, however it died.
# down, up: the gateway alone, an outage.
# Debian packages, by apt-get install --no-install-recommends: ceph-mon ceph-osd radosgw ceph-common
set -euo pipefail
cmd=$1 D=$(realpath -m "$2") PORT=${3:-} C=$D/ceph.conf
export CEPH_ARGS="-c $C"
# A zombie whose threads still live keeps its port.
gone() { ! grep -qs '^State:.[^Z]' /proc/"$1"/task/*/status; }
kill1() { local p; for n; do [ -s "$D/$n.pid" ] || continue; p=$(<"$D/$n.pid")
  if tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline" | grep -qF -- "$C"; then kill -9 "$p" || :
    until gone "$p"; do sleep .02; done; fi; rm -f "$D/$n.pid"; done; }
die() { echo "$*" >&2; tail -n 9 "$D"/*.log >&2; kill1 rgw osd mon; exit 1; }
busy() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
bg() { local n=$1; shift; setsid "$@" -c "$C" -f >>"$D/$n.log" 2>&1 </dev/null & echo $! >"$D/$n.pid"; disown; }
rgw() { busy "$PORT" && die "port $PORT in use"; bg rgw radosgw -n client.rgw
  for _ in {1..600}; do busy "$PORT" && { echo "ready http://127.0.0.1:$PORT" || :; return; }
    kill -0 "$(<"$D/rgw.pid")" 2>/dev/null || die "radosgw died"; sleep .05; done; die "radosgw not ready"; }
case $cmd in
  stop) kill1 rgw osd mon; exit;; down) kill1 rgw; exit;; up) rgw; exit;;
  start) ;; run) trap '' INT TERM HUP PIPE;; *) exit 2;;
esac
kill1 rgw osd mon; rm -rf "$D"/{mon,osd,*.log}; mkdir -p "$D"/{mon,osd}
MP=$(shuf -i 20000-29999 -n1); while busy "$MP"; do MP=$((MP+1)); done
ID=$(</proc/sys/kernel/random/uuid) OSD=$(</proc/sys/kernel/random/uuid)
cat >"$C" <<E
[global]
fsid=$ID
mon_host=[v2:127.0.0.1:$MP/0]
public_addr=127.0.0.1
cluster_addr=127.0.0.1
ms_bind_msgr1=false
auth_cluster_required=none
auth_service_required=none
auth_client_required=none
ms_mon_client_mode=crc
keyring=/dev/null
admin_socket =
run_dir=$D
crash_dir=$D
log_file =
log_to_stderr=true
mon_cluster_log_file=/dev/null
osd_pool_default_size=1
osd_pool_default_min_size=1
osd_pool_default_pg_num=1
osd_pool_default_pg_autoscale_mode=off
osd_crush_chooseleaf_type=0
mon_allow_pool_size_one=true
mon_max_pg_per_osd=1000
mon_data=$D/mon
mon_data_avail_crit=0
mon_data_avail_warn=0
paxos_propose_interval=0.02
paxos_min_wait=0.01
osd_data=$D/osd
osd_objectstore=memstore
memstore_device_bytes=8589934592
osd_client_watch_timeout=3
objecter_tick_interval=1
rgw_frontends=beast endpoint=127.0.0.1:$PORT
rgw_thread_pool_size=64
rgw_rados_pool_pg_num_min=1
rgw_dynamic_resharding=false
rgw_gc_max_objs=1
rgw_gc_obj_min_wait=2
rgw_gc_processor_period=3
rgw_gc_processor_max_time=3
rgw_lc_max_objs=1
rgw_crypt_require_ssl=false
E
monmaptool --create --fsid "$ID" --addv a "[v2:127.0.0.1:$MP]" "$D/monmap" --clobber >"$D/mon.log" 2>&1 || die monmap
ceph-mon -i a --mkfs --monmap "$D/monmap" >>"$D/mon.log" 2>&1 || die mon
bg mon ceph-mon -i a
timeout 30 ceph osd new "$OSD" >"$D/osd.log" 2>&1 || die "osd new"
ceph-osd -i 0 --mkfs --osd-uuid "$OSD" >>"$D/osd.log" 2>&1 || die "osd mkfs"
bg osd ceph-osd -i 0
timeout 60 radosgw-admin user create --uid=test --display-name=test --access-key="${S3_ACCESS_KEY:-testaccess}" \
  --secret-key="${S3_SECRET_KEY:-testsecret0123456789}" >"$D/user.log" 2>&1 || die "user create"
rgw
[ "$cmd" = run ] || exit 0
while [ -d "/proc/$4" ] && [ -d "$D" ]; do sleep .2; done
kill1 rgw osd mon; rm -rf "$D"
