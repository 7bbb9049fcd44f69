import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { Style } from "../../base/text/table.ts";
import { visibleData } from "../../base/text/visible.ts";
import { timeTitle, wallTime } from "../../base/text/zoned-time.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { AlertRecord, DeliveryRecord } from "../../catalog/records.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { isFailing, notifierStatuses, undeliveredText } from "../../status/notifiers.ts";
import type { NotifierStatus } from "../../status/report.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, textOption, UTC_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import type { Output } from "../output/output.ts";
import { jsonText, table } from "../output/output.ts";
import { colouredStatus } from "../output/status-colour.ts";
import { integerOption } from "../parse.ts";

export const command: Command = {
  usage: "[ack ID|all]",
  description:
    "Newest first: failures (WARNING: in part, CRITICAL: as a whole) and successes (INFO). A problem stays open until\n" +
    "it is solved. ack acknowledges it and so stops its reminders. Any unambiguous prefix of an id is enough.",
  options: {
    unacknowledged: { type: "boolean", short: "u", help: "only problems that nobody has acknowledged" },
    limit: { type: "string", short: "n", value: "N", help: "at most N alerts (default 50)" },
    utc: UTC_OPTION,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 alerts --unacknowledged", explanation: "problems that nobody has acknowledged" },
    { command: "pg321 alerts ack 3f2a", explanation: "acknowledge one alert" },
    { command: "pg321 alerts ack all", explanation: "acknowledge all alerts" },
  ],
  positionals: { min: 0, max: 2, values: [{ words: ["ack"] }, { words: ["all"], live: ["alert"] }] },
  async run(invocation) {
    const { arguments: args, output, clock, log } = invocation;
    const [action, id] = args.positionals;
    if (action !== undefined && action !== "ack") throw usage(`unknown action "${action}"`);
    if (action === "ack" && id === undefined) throw usage("ack needs the id of an alert, or all");
    const ofList = ["unacknowledged", "limit"].find((name) => args.options[name] !== undefined);
    if (action === "ack" && ofList !== undefined)
      throw usage(`--${ofList} is only for the list; ack takes the id of one alert, or all`);
    const limit =
      integerOption("alerts", "limit", textOption(args, "limit"), { min: 1, max: 1_000_000 }) ?? 50;
    const config = await commandConfig(invocation);
    await using catalog = await openCatalog(config.catalog, { clock, log });
    if (id !== undefined) return await acknowledge(catalog, id, invocation);
    const shown: ShownAlert[] = [];
    for (const alert of await catalog.alerts({ unacknowledged: isSet(args, "unacknowledged"), limit }))
      shown.push({ ...alert, deliveries: await deliveriesOf(catalog, alert) });
    const notifiers = await notifierStatuses({ catalog, config });
    if (isSet(args, "json")) output.print(jsonText({ alerts: shown, notifiers }));
    else {
      const failing = visibleData(notifiers.filter(isFailing)).map((one) => failingText(one, output.style));
      const rows = shown.length === 0 ? "no alerts" : textOf(visibleData(shown), output);
      output.print([rows, ...failing].join("\n"));
    }
    return 0;
  },
};

type ShownDelivery = Pick<DeliveryRecord, "notifier" | "state" | "attempts" | "next_try_at" | "error"> & {
  event: unknown;
};
type ShownAlert = AlertRecord & { deliveries: ShownDelivery[] };

async function deliveriesOf(catalog: Catalog, { id }: AlertRecord): Promise<ShownDelivery[]> {
  const deliveries = await catalog.deliveries({ alert_id: id });
  return deliveries.map(({ notifier, notice, state, attempts, next_try_at, error }) => ({
    notifier,
    event: notice["event"],
    state,
    attempts,
    next_try_at,
    error,
  }));
}

async function acknowledge(
  catalog: Catalog,
  id: string,
  { arguments: args, output, clock }: Invocation,
): Promise<number> {
  const waiting = await catalog.alerts({ unacknowledged: true });
  const chosen = id === "all" ? waiting : [await findAlert(catalog, id)];
  const now = clock.now().toISOString();
  const changed = chosen.filter((alert) => alert.acknowledged_at === null);
  for (const alert of changed) await catalog.acknowledgeAlert(alert.id, now);
  if (isSet(args, "json")) output.print(jsonText({ acknowledged: changed.map((alert) => alert.id) }));
  else output.print(`acknowledged ${plural(changed.length, "alert")}`);
  return 0;
}

async function findAlert(catalog: Catalog, id: string): Promise<AlertRecord> {
  const found = (await catalog.alerts({})).filter((alert) => alert.id.startsWith(id.toLowerCase()));
  const [alert, other] = found;
  if (!alert) throw usage(`no alert has the id "${id}"`);
  if (other) throw usage(`${found.length} alerts have an id that starts with "${id}"`);
  return alert;
}

function usage(problem: string): Pg321Error {
  return new Pg321Error("usage", `alerts: ${problem}`, {
    hint: "usage: pg321 alerts [ack ID|all]; pg321 alerts lists the ids",
  });
}

function textOf(alerts: readonly ShownAlert[], { style }: Output): string {
  const rows = table(
    alerts,
    [
      { title: "ID", cell: ({ id }) => shortId(id) },
      { title: "LEVEL", cell: ({ level }) => colouredStatus(level, style) },
      { title: timeTitle("SINCE", style), cell: ({ created_at }) => wallTime(created_at, style) },
      { title: timeTitle("LAST", style), cell: ({ last_at }) => wallTime(last_at, style) },
      { title: "COUNT", cell: ({ count }) => String(count), align: "right" },
      { title: "STATE", cell: stateOf },
      { title: "MESSAGE", cell: ({ message }) => message },
    ],
    style,
  );
  return [rows, ...alerts.flatMap((alert) => undeliveredOf(alert, style))].join("\n");
}

function stateOf({ level, resolved_at, acknowledged_at, metadata }: AlertRecord): string {
  if (level === "INFO") return "-";
  // Nobody acknowledged a quiet one: it was recorded while another alert was about its cause.
  const acknowledged = metadata["is_quiet"] === true ? "with its cause" : "acknowledged";
  const states = [resolved_at ? "resolved" : "open", acknowledged_at ? acknowledged : ""];
  return states.filter(Boolean).join(", ");
}

function failingText(notifier: NotifierStatus, style: Style): string {
  const { waiting_since, error } = notifier;
  const since = waiting_since === null ? "" : `, the oldest since ${wallTime(waiting_since, style)}`;
  return `${style.warn("warning:")} ${undeliveredText(notifier)}${since}: ${error}`;
}

function undeliveredOf({ id, deliveries }: ShownAlert, style: Style): string[] {
  return deliveries
    .filter(({ state, error }) => state === "FAILED" || (state === "PENDING" && error !== null))
    .map(({ notifier, state, attempts, next_try_at, error }) => {
      const what = state === "FAILED" ? "not delivered" : `next attempt at ${wallTime(next_try_at, style)}`;
      return `${style.warn("warning:")} ${shortId(id)} to ${notifier}: ${what}, attempts: ${attempts}: ${error}`;
    });
}
