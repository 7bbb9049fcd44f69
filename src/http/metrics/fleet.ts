import { FLEET_SERIES_HOSTS_MAX } from "../../base/limits.ts";
import { ALERT_LEVELS } from "../../config/config.ts";
import type { FleetHost, FleetHostState, FleetReport } from "../../status/fleet/report.ts";
import { MetricSheet } from "./sheet.ts";
import { unixTime } from "./units.ts";

/** Those that need somebody first: if there are too many hosts, the last ones are omitted. */
const HOST_STATES: readonly FleetHostState[] = ["silent", "stopped", "up", "never"];
const DATABASE_STATES = ["failing", "stale", "never", "partial", "good"] as const;

/** The body of `GET /metrics?fleet=1`: sums, and 13 series for each of at most `FLEET_SERIES_HOSTS_MAX` hosts. */
export async function renderFleetMetrics(report: FleetReport): Promise<string> {
  const sheet = new MetricSheet();
  const { hosts, databases, alerts } = report;
  for (const state of HOST_STATES)
    sheet.set("pg321_fleet_hosts", { state }, hosts.filter((host) => host.state === state).length);
  // Those of other hosts are not known while the catalog is unreachable: a sum without them would be a false one.
  const isWhole = report.catalog.unreachable_since === null;
  for (const state of isWhole ? DATABASE_STATES : [])
    sheet.set("pg321_fleet_databases", { state }, databases.filter((one) => one.state === state).length);
  for (const level of ALERT_LEVELS)
    sheet.set("pg321_fleet_alerts_open", { level }, alerts.filter((alert) => alert.level === level).length);
  sheet.set("pg321_fleet_known_timestamp_seconds", {}, unixTime(report.catalog.known_at ?? report.now));
  const rank = ({ state }: FleetHost) => HOST_STATES.indexOf(state);
  const shown = hosts.toSorted((a, b) => rank(a) - rank(b)).slice(0, FLEET_SERIES_HOSTS_MAX);
  sheet.set("pg321_fleet_hosts_left_out", {}, hosts.length - shown.length);
  for (const host of shown) setHost(sheet, host);
  return await sheet.text();
}

function setHost(sheet: MetricSheet, one: FleetHost): void {
  const { host, version } = one;
  if (version !== null) sheet.set("pg321_fleet_host_info", { host, version }, 1);
  sheet.setState("pg321_fleet_host_state", { host }, "state", HOST_STATES, one.state);
  sheet.set("pg321_fleet_host_heartbeat_timestamp_seconds", { host }, unixTime(one.heartbeat_at));
  if (one.as_of !== null) return;
  for (const state of DATABASE_STATES)
    sheet.set("pg321_fleet_host_databases", { host, state }, one.databases[state]);
  sheet.set("pg321_fleet_host_oldest_success_timestamp_seconds", { host }, unixTime(one.oldest_success_at));
  sheet.set("pg321_fleet_host_marks_lost", { host }, one.marks.lost);
}
