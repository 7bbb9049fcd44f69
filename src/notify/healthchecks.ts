import type { HealthchecksConfig } from "../config/config.ts";
import { post } from "./http.ts";
import type { Notice } from "./notice.ts";
import type { Notifier } from "./notifier.ts";
import { clipped, textOf } from "./text.ts";

const TEXT_MAX = 10_000;

/**
 * Pings in the form of healthchecks.io: `URL/start`, `URL`, `URL/fail`, `URL/log`, with the run's id so that it can measure
 * the run.
 */
export class HealthchecksNotifier implements Notifier {
  readonly #config: HealthchecksConfig;

  constructor(config: HealthchecksConfig) {
    this.#config = config;
  }

  async send(notice: Notice, signal: AbortSignal): Promise<void> {
    const url = new URL(this.#config.url.reveal());
    const path = url.pathname.replace(/\/+$/, "");
    if (notice.event === "started") url.pathname = `${path}/start`;
    if (notice.event === "failed") url.pathname = `${path}/fail`;
    // Recorded without a change of the switch's state: a test proves nothing about the backups.
    if (notice.event === "test") url.pathname = `${path}/log`;
    if (notice.run_id !== null) url.searchParams.set("rid", notice.run_id);
    const body = clipped(textOf(notice), TEXT_MAX);
    const headers = { "content-type": "text/plain; charset=utf-8" };
    await post({ url: url.href, headers, body }, this.#config, signal);
  }
}
