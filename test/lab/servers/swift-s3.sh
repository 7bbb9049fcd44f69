#!/bin/bash
# swift-s3.sh start|run|stop DIR PORT [PID]
# OpenStack Swift with its S3 API, on the loopback address, all in DIR.
# run: start, then stop and remove DIR when process PID is gone, however it died.
# Debian packages, by apt-get install --no-install-recommends: swift-proxy swift-account swift-container swift-object memcached
set -euo pipefail
cmd=$1 D=$(realpath -m "$2") PORT=${3:-} AK=${S3_ACCESS_KEY:-test:tester} SK=${S3_SECRET_KEY:-testsecret0123456789} ME=$(id -un)
stop() { local n p; for n in proxy object container account memc; do [ -s "$D/$n.pid" ] || continue; p=$(<"$D/$n.pid")
  if tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline" | grep -qF -- "$D/"; then kill -9 "$p" || :
    while grep -qs '^State:.[^Z]' "/proc/$p/status"; do sleep .02; done; fi; rm -f "$D/$n.pid"; done; }
die() { echo "$*" >&2; tail -qn 9 "$D"/*.log >&2; stop; exit 1; }
busy() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
bg() { local n=$1; shift; setsid "$@" >"$D/$n.log" 2>&1 </dev/null & echo $! >"$D/$n.pid"; disown; }
case $cmd in stop) stop; exit;; start) ;; run) trap '' INT TERM HUP PIPE;; *) exit 2;; esac
mkdir -p "$D"; stop; busy "$PORT" && die "port $PORT in use"; rm -rf "$D"/{srv,*.log,*.builder,*.ring.gz}; mkdir -p "$D/srv/d1"; cd "$D"
P=$(shuf -i 20000-29999 -n1); declare -A SP
for n in account container object memc; do
  while busy $P; do P=$((P+1)); done; SP[$n]=$P; P=$((P+1)); [ $n = memc ] && continue
  { swift-ring-builder $n.builder create 2 1 0; swift-ring-builder $n.builder add "r1z1-127.0.0.1:${SP[$n]}/d1" 1
    swift-ring-builder $n.builder rebalance; } >"ring-$n.log" 2>&1 &
  cat >$n.conf <<E
[DEFAULT]
bind_ip=127.0.0.1
bind_port=${SP[$n]}
user=$ME
workers=0
swift_dir=$D
devices=$D/srv
mount_check=false
fallocate_reserve=0
[pipeline:main]
pipeline=$n-server
[app:$n-server]
use=egg:swift#$n
recon_cache_path=$D
E
done
echo "[swift-hash]
swift_hash_path_suffix=lab" >swift.conf
F="catch_errors gatekeeper healthcheck memcache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink"
{ echo "[DEFAULT]
bind_ip=127.0.0.1
bind_port=$PORT
user=$ME
workers=0
swift_dir=$D
[pipeline:main]
pipeline=$F proxy-server
[app:proxy-server]
use=egg:swift#proxy
account_autocreate=true"
for f in $F; do echo "[filter:$f]
use=egg:swift#$f"
  case $f in memcache) echo "memcache_servers=127.0.0.1:${SP[memc]}";; s3api) echo "location=us-east-1";;
  tempauth) echo "user_${AK%%:*}_${AK#*:}=$SK .admin";; versioned_writes) echo "allow_object_versioning=true";; esac
done; } >proxy.conf
wait
bg memc memcached -u "$ME" -l 127.0.0.1 -p "${SP[memc]}" -t 1 -P "$D/memcached.pid"
for n in account container object proxy; do bg $n swift-$n-server "$D/$n.conf" -v; done
for _ in {1..300}; do ok=1; for p in "${SP[@]}" "$PORT"; do busy "$p" || ok=; done
  [ $ok ] && { echo "ready http://127.0.0.1:$PORT" || :; [ "$cmd" = run ] || exit 0; while [ -d "/proc/$4" ] && [ -d "$D" ]; do sleep .2; done; stop; cd /; rm -rf "$D"; exit; }
  for n in account container object proxy; do kill -0 "$(<$n.pid)" 2>/dev/null || die "$n died"; done; sleep .1; done
die "not ready"
