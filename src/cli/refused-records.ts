import { Pg321Error } from "../base/errors.ts";
import { plural } from "../base/text/amounts.ts";
import { visibleData } from "../base/text/visible.ts";
import { timeTitle, wallTime } from "../base/text/zoned-time.ts";
import { spoolOf } from "../catalog/open.ts";
import {
  acknowledgeRefused,
  type RefusedRecord,
  refusedName,
  refusedRecords,
} from "../catalog/spool/refused.ts";
import type { Invocation } from "./command.ts";
import { isSet } from "./command.ts";
import { commandConfig } from "./open-context.ts";
import { jsonText, type Style, table } from "./output/output.ts";

/** `catalog refused`: works while the catalog is unreachable, because the records are in this host's spool. */
export async function refused(invocation: Invocation): Promise<number> {
  const { arguments: args, output, clock } = invocation;
  const [, action, which] = args.positionals;
  if (action !== undefined && action !== "ack") throw usage(`unknown action "${action}"`);
  if (action === "ack" && which === undefined) throw usage("ack needs the number of a record, or all");
  const ofCopy = ["from", "to", "dry-run"].find((name) => args.options[name] !== undefined);
  if (ofCopy !== undefined) throw usage(`--${ofCopy} is only for catalog copy`);
  const { path } = spoolOf(await commandConfig(invocation));
  const records = await refusedRecords(path, clock);
  if (which === undefined) {
    output.print(
      isSet(args, "json") ? jsonText({ refused: records.map(jsonOf) }) : textOf(records, output.style),
    );
    return 0;
  }
  const chosen = which === "all" ? records : [recordOf(records, which)];
  const numbers = chosen.filter((one) => one.acknowledged_at === null).map(({ number }) => number);
  if (numbers.length > 0) await acknowledgeRefused(path, numbers, clock);
  if (isSet(args, "json")) output.print(jsonText({ acknowledged: numbers }));
  else if (!isSet(args, "quiet")) output.print(`acknowledged ${plural(numbers.length, "record")}`);
  return 0;
}

function recordOf(records: readonly RefusedRecord[], which: string): RefusedRecord {
  const record = records.find(({ number }) => String(number) === which);
  if (record === undefined) throw usage(`no refused record has the number "${which}"`);
  return record;
}

function jsonOf({ number, call, refused_at, acknowledged_at, is_reported, error }: RefusedRecord) {
  const { part, method, args } = call;
  const name = part === "" ? method : `${part}.${method}`;
  return { number, call: name, arguments: args, refused_at, acknowledged_at, is_reported, error };
}

function textOf(records: readonly RefusedRecord[], style: Style): string {
  if (records.length === 0) return "no refused records";
  const shown = records.map(({ call, ...record }) => ({ ...record, name: refusedName(call) }));
  return table(
    visibleData(shown),
    [
      { title: "NUMBER", cell: ({ number }) => String(number), align: "right" },
      { title: timeTitle("REFUSED", style), cell: ({ refused_at }) => wallTime(refused_at, style) },
      { title: "RECORD", cell: ({ name }) => name },
      { title: "STATE", cell: stateOf },
      { title: "ERROR", cell: ({ error }) => error },
    ],
    style,
  );
}

function stateOf({ acknowledged_at, is_reported }: Omit<RefusedRecord, "call">): string {
  if (acknowledged_at !== null) return "acknowledged";
  return is_reported ? "open" : "old";
}

function usage(problem: string): Pg321Error {
  return new Pg321Error("usage", `catalog refused: ${problem}`, {
    hint: "usage: pg321 catalog refused [ack NUMBER|all]; pg321 catalog refused lists the numbers",
  });
}
