import { DAY_MS, HEARTBEAT_MS } from "../base/limits.ts";
import { durationText, plural } from "../base/text/amounts.ts";
import { type HostRecord, type HostState, hostState, WITHOUT_DAEMON } from "../catalog/hosts.ts";
import type { AlertRecord } from "../catalog/records.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";
import { hostKey, hostOfKey, isHostKey } from "./host-key.ts";
import { noticesFor } from "./notices.ts";

/** A daemon that was stopped for this long, although nobody else backs its databases up, was probably forgotten. */
const STOPPED_MS_MAX = DAY_MS;
/** A daemon without a notifier raises the alert only if no other one does: nobody would get a notice of it. */
const WITHOUT_NOTIFIER_MS = 3 * HEARTBEAT_MS;

/**
 * Raises an alert about each other host that is silent, or was stopped too long ago while no other host has its servers; and
 * resolves those about hosts that work again or were forgotten. Of all daemons, the first raises it. `now` by
 * `Catalog.leaseTime`. `mayAccuse`: whether this daemon could have seen the heartbeats of the others for long enough.
 */
export async function alertHosts(
  context: AlertContext,
  { now, mayAccuse }: { now: Date; mayAccuse: boolean },
): Promise<void> {
  const { catalog, config } = context;
  // Nobody expects the daemon of a host that only runs commands.
  const hosts = (await catalog.hosts.all()).filter(({ pid }) => pid !== WITHOUT_DAEMON);
  const open = new Set((await catalog.alerts({ open: true })).map(({ key }) => key).filter(isHostKey));
  const judged = hosts.map((host) => ({
    host,
    state: hostState(host, { now, silentMs: config.fleet.silent_after_ms }),
  }));
  const up = judged.filter(({ state }) => state === "up").map(({ host }) => host);
  for (const { host, state } of judged) {
    const key = hostKey(host.host);
    if (state === "up") {
      if (open.has(key)) await resolveAlert(context, key, `the daemon of host ${host.host} works again`);
    } else if (mayAccuse && !open.has(key) && host.host !== context.host)
      await accuse(context, { host, state, up, now });
    open.delete(key);
  }
  for (const key of open)
    await resolveAlert(context, key, `host ${hostOfKey(key)} was forgotten: nobody expects its daemon`);
}

/**
 * Resolves the open alerts that a forgotten host raised about its own work, because no other host can. `context.catalog` must
 * be the whole one, so that any host may send the notices. Rejects as `Catalog` does.
 */
export async function resolveAlertsOfForgotten(context: AlertContext, host: string): Promise<void> {
  const { catalog, clock } = context;
  const ofNobody = new Set((await catalog.alerts({ open: true, host: "" })).map(({ id }) => id));
  const open = (await catalog.alerts({ open: true, host })).filter(({ id }) => !ofNobody.has(id));
  const scope = { host, isShared: () => false };
  for (const { id, key } of open) {
    const resolved_at = clock.now().toISOString();
    const resolve = (alert: AlertRecord | undefined) =>
      alert?.id === id ? { alert: { ...alert, resolved_at, remind_at: null }, deliveries: [] } : undefined;
    const resolved = await catalog.changeAlert(key, resolve, scope);
    if (resolved === undefined) continue;
    await catalog.insertDeliveries(noticesFor(context, resolved, "resolved", `host ${host} was forgotten`));
  }
}

interface Accused {
  host: HostRecord;
  state: Exclude<HostState, "up">;
  /** The hosts whose daemons work. */
  up: readonly HostRecord[];
  now: Date;
}

async function accuse(context: AlertContext, { host, state, up, now }: Accused): Promise<void> {
  const left = host.servers.filter(({ name }) => !up.some(({ servers }) => has(servers, name)));
  const ageMs = now.getTime() - Date.parse(host.stopped_at ?? host.heartbeat_at);
  const limitMs = state === "stopped" ? STOPPED_MS_MAX : context.config.fleet.silent_after_ms;
  const delayMs = context.config.notify.length === 0 ? WITHOUT_NOTIFIER_MS : 0;
  if (ageMs <= limitMs + delayMs || (state === "stopped" && left.length === 0)) return;
  const age = durationText(ageMs);
  const databases = (await context.catalog.overview.databases()).filter(
    ({ server, gone_at }) => gone_at === null && has(left, server),
  );
  const names = left.map(({ name }) => name).join(", ");
  const what =
    left.length === 0
      ? "its servers are also on other hosts"
      : `its ${plural(databases.length, "database")} (${left.length === 1 ? "server" : "servers"} ${names}) ${databases.length === 1 ? "is" : "are"} not backed up`;
  const how = state === "silent" ? `has been silent for ${age}` : `had its daemon stopped ${age} ago`;
  await raiseAlert(context, {
    level: state === "silent" && left.length > 0 ? "CRITICAL" : "WARNING",
    ...{ job: "backup", run_id: null, server: null, database: null, key: hostKey(host.host) },
    message: `host ${host.host} ${how}: ${what}`,
    metadata: {
      silent_host: host.host,
      last_seen_at: host.heartbeat_at,
      stopped_at: host.stopped_at,
      servers: left.map(({ name }) => name),
      databases: databases.length,
      hint: hintFor(host.host, state),
    },
  });
}

function hintFor(host: string, state: Accused["state"]): string {
  const start =
    state === "silent"
      ? "look on that host: systemctl status pg321, and whether it reaches the catalog"
      : "start it on that host: systemctl start pg321";
  return `${start}; if the host is gone for good: pg321 forget-host ${host}, then give its servers to another host (docs/fleet.md)`;
}

function has(named: readonly { name: string }[], name: string): boolean {
  return named.some((one) => one.name === name);
}
