import { resolveAlert } from "../../alerts/alert.ts";
import { resolveAlertsOfForgotten } from "../../alerts/host-alerts.ts";
import { hostKey } from "../../alerts/host-key.ts";
import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { durationText, plural } from "../../base/text/amounts.ts";
import { visibleData } from "../../base/text/visible.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { type HostRecord, hostState } from "../../catalog/hosts.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { jsonText } from "../output/output.ts";
import { refuseUnknownHost } from "../place-options.ts";

export const command: Command = {
  usage: "NAME",
  description:
    "Removes the record of a host whose daemon has stopped or is silent, and resolves the alerts about it and those that it\n" +
    "raised itself. No backup and no copy is removed. Refuses while the daemon shows signs of life (exit 11). If that daemon\n" +
    "starts again, the host is back.",
  options: { json: JSON_OPTION },
  examples: [
    { command: "pg321 status --fleet", explanation: "first: which hosts are there?" },
    { command: "pg321 forget-host web7", explanation: "a host that was switched off for good" },
  ],
  positionals: { min: 1, max: 1, values: [{ live: ["host"] }] },
  async run(invocation) {
    const { arguments: args, output, clock, log } = invocation;
    const [name = ""] = args.positionals;
    const config = await commandConfig(invocation);
    await using catalog = await openCatalog(config.catalog, { clock, log });
    const now = await catalog.leaseTime(clock);
    const silentMs = config.fleet.silent_after_ms;
    const record = await catalog.hosts.one(name);
    if (!record) {
      await refuseUnknownHost(name, config, catalog);
      throw new Pg321Error("usage", `forget-host: the catalog has no record of a daemon on host "${name}"`, {
        hint: `there is nothing to forget; the backups that it made: pg321 list --host ${name}`,
      });
    }
    const silentSince = new Date(now.getTime() - silentMs).toISOString();
    if (hostState(record, { now, silentMs }) === "up" || !(await catalog.hosts.forget(name, silentSince)))
      throw stillAlive(record, now, silentMs);
    const installation = (await catalog.installation()) ?? "";
    const alerts = { catalog, clock, config, host: config.fleet.host, installation, log };
    await resolveAlert(
      alerts,
      hostKey(name),
      `host ${name} was forgotten: nobody expects its daemon any more`,
    );
    await resolveAlertsOfForgotten(alerts, name);
    const left = await leftBehind(catalog, record);
    if (isSet(args, "json")) output.print(jsonText({ forgotten: left }));
    else output.print(textOf(visibleData(left)));
    return EXIT_CODES.ok;
  },
};

function stillAlive({ host, heartbeat_at }: HostRecord, now: Date, silentMs: number): Pg321Error {
  const age = durationText(Math.max(0, now.getTime() - Date.parse(heartbeat_at)));
  return new Pg321Error("locked", `forget-host: the daemon of host "${host}" was alive ${age} ago`, {
    hint: `stop it on that host: systemctl stop pg321; a host that died can be forgotten ${durationText(silentMs)} after its last heartbeat (fleet.silent_after)`,
    retryable: true,
  });
}

/** What stays of a forgotten host. */
interface LeftBehind {
  host: string;
  heartbeat_at: string;
  stopped_at: string | null;
  /** The number of backups that it made. */
  backups: number;
  /** `hosts`: those that have the server or storage in their config too. */
  servers: { name: string; backups: number; hosts: string[] }[];
  storages: { name: string; hosts: string[] }[];
}

async function leftBehind(catalog: Catalog, record: HostRecord): Promise<LeftBehind> {
  const { host, heartbeat_at, stopped_at } = record;
  const others = (await catalog.hosts.all()).filter((one) => one.host !== host);
  const having = (of: "servers" | "storages", name: string) =>
    others.filter((one) => one[of].some((known) => known.name === name)).map((one) => one.host);
  const servers = await Promise.all(
    record.servers.map(async ({ name }) => ({
      name,
      backups: await catalog.countBackups({ server: name }),
      hosts: having("servers", name),
    })),
  );
  const storages = record.storages.map(({ name }) => ({ name, hosts: having("storages", name) }));
  const backups = await catalog.countBackups({ host });
  return { host, heartbeat_at, stopped_at, backups, servers, storages };
}

function textOf({ host, backups, servers, storages }: LeftBehind): string {
  const alone = servers.filter(({ hosts }) => hosts.length === 0);
  const unreached = storages.filter(({ hosts }) => hosts.length === 0).map(({ name }) => name);
  const lines = [
    `host ${host} is forgotten; the ${plural(backups, "backup")} that it made and all copies stay as they are`,
    ...servers.map(({ name, backups: count, hosts }) => {
      const what = `server ${name} (${plural(count, "backup")})`;
      return hosts.length === 0
        ? `  ${what}: no other host has it: its databases are not backed up, and nobody cleans up or verifies its backups`
        : `  ${what}: also on ${hosts.join(", ")}`;
    }),
  ];
  if (alone.length > 0)
    lines.push(
      "To let another host take over: copy the [[server]] tables, and the [[storage]] tables of shared storages, into its",
      "config under the same names, then: systemctl reload pg321. Its backup, cleanup and verification then include them.",
    );
  if (unreached.length > 0)
    lines.push(
      `No other host has ${unreached.length === 1 ? "storage" : "storages"} ${unreached.join(", ")}: restore from another copy, or configure it where its place is mounted.`,
    );
  return lines.join("\n");
}
