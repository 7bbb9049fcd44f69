import type { SlackConfig } from "../config/config.ts";
import { post } from "./http.ts";
import type { Notice } from "./notice.ts";
import type { Notifier } from "./notifier.ts";
import { clipped, textOf, titleOf } from "./text.ts";

/** Slack splits longer messages. */
const TEXT_MAX = 3_500;

/** An incoming webhook in Slack's form, which many chats understand. */
export class SlackNotifier implements Notifier {
  readonly #config: SlackConfig;

  constructor(config: SlackConfig) {
    this.#config = config;
  }

  async send(notice: Notice, signal: AbortSignal): Promise<void> {
    const text = clipped(`${titleOf(notice)}\n${textOf(notice)}`, TEXT_MAX);
    const body = JSON.stringify({ text: escaped(text) });
    await post(
      { url: this.#config.url.reveal(), headers: { "content-type": "application/json" }, body },
      this.#config,
      signal,
    );
  }
}

/** Otherwise `<!channel>` in the name of a table would notify everybody. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
