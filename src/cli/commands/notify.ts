import { newDelivery } from "../../alerts/notices.ts";
import { EXIT_CODES, messageOf, Pg321Error } from "../../base/errors.ts";
import { closest } from "../../base/text/suggest.ts";
import { visibleData } from "../../base/text/visible.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { DeliveryRecord } from "../../catalog/records.ts";
import type { Config, NotifyConfig } from "../../config/config.ts";
import type { Notice } from "../../notify/notice.ts";
import { sendNotice } from "../../notify/send.ts";
import { testNotice } from "../../notify/test-notice.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import type { Style } from "../output/output.ts";
import { jsonText, table } from "../output/output.ts";

export const command: Command = {
  usage: "test [NAME…]",
  description:
    "test sends a test notice to each notifier in the config, or to the named ones, whatever their filters, and reports\n" +
    "whether it was delivered. Exit 0 if every one was, otherwise 13.",
  options: { json: JSON_OPTION },
  examples: [
    { command: "pg321 notify test", explanation: "a test notice to every notifier" },
    { command: "pg321 notify test ops", explanation: "only to the notifier named ops" },
  ],
  positionals: { min: 0, max: 1_000, values: [{ words: ["test"] }, { live: ["notifier"] }] },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    const [action, ...names] = args.positionals;
    if (action !== "test")
      throw usage(action === undefined ? "an action is missing" : `unknown action "${action}"`);
    const config = await commandConfig(invocation);
    const chosen = chosenNotifiers(config, names);
    await using catalog = await catalogOf(config, invocation);
    const installation = (await catalog?.installation()) ?? "";
    const results = await Promise.all(
      chosen.map((notifier) => tried(notifier, { host: config.fleet.host, installation }, invocation)),
    );
    if (catalog) await record(catalog, results, invocation);
    const shown = results.map(({ notifier: { name, type }, error }) => ({
      name,
      type,
      delivered: error === null,
      error,
    }));
    if (isSet(args, "json")) output.print(jsonText({ notifiers: shown }));
    else output.print(textOf(visibleData(shown), output.style));
    return shown.every(({ delivered }) => delivered) ? EXIT_CODES.ok : EXIT_CODES.storage;
  },
};

interface Result {
  notifier: NotifyConfig;
  notice: Notice;
  /** Why the notice was not delivered; null if it was. */
  error: string | null;
}

function chosenNotifiers({ notify, file }: Config, names: readonly string[]): NotifyConfig[] {
  if (notify.length === 0)
    throw new Pg321Error("usage", `${file} has no notifier`, {
      hint: "add a [[notify]] to the config: docs/alerts.md",
    });
  const known = notify.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const like = closest(unknown, known);
    const hint = like === undefined ? `the config has ${known.join(", ")}` : `did you mean "${like}"?`;
    throw new Pg321Error("usage", `the config has no notifier "${unknown}"`, { hint });
  }
  return names.length === 0 ? notify : notify.filter(({ name }) => names.includes(name));
}

/** Undefined if it cannot be opened: a notifier can be tried without it. */
async function catalogOf(config: Config, { clock, log }: Invocation): Promise<Catalog | undefined> {
  try {
    return await openCatalog(config.catalog, { clock, log });
  } catch (error) {
    log.warning("the result of the test will not be recorded", { error: messageOf(error) });
    return undefined;
  }
}

async function tried(
  notifier: NotifyConfig,
  sender: { host: string; installation: string },
  { clock, signal }: Invocation,
): Promise<Result> {
  const notice = testNotice({ clock, ...sender });
  try {
    await sendNotice(notifier, notice, { clock, signal });
    return { notifier, notice, error: null };
  } catch (error) {
    signal.throwIfAborted();
    return { notifier, notice, error: messageOf(error) };
  }
}

/** Records the results, so that `status` shows whether the notifier works now. */
async function record(
  catalog: Catalog,
  results: readonly Result[],
  { clock, log }: Invocation,
): Promise<void> {
  const finished_at = clock.now().toISOString();
  const records = results.map(
    ({ notifier, notice, error }): DeliveryRecord => ({
      ...newDelivery({ clock }, notifier.name, null, notice),
      state: error === null ? "DELIVERED" : "FAILED",
      attempts: 1,
      finished_at,
      error,
    }),
  );
  await catalog.insertDeliveries(records).catch((error) => {
    log.warning("the result of the test could not be recorded", { error: messageOf(error) });
  });
}

function textOf(
  results: readonly { name: string; type: string; error: string | null }[],
  style: Style,
): string {
  return table(
    results,
    [
      { title: "NOTIFIER", isName: true, cell: ({ name }) => name },
      { title: "TYPE", cell: ({ type }) => type },
      {
        title: "RESULT",
        cell: ({ error }) => (error === null ? style.good("delivered") : style.bad("not delivered")),
      },
      { title: "REASON", cell: ({ error }) => error ?? "" },
    ],
    style,
  );
}

function usage(problem: string): Pg321Error {
  return new Pg321Error("usage", `notify: ${problem}`, { hint: "usage: pg321 notify test [NAME…]" });
}
