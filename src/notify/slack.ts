import type { SlackConfig } from "../config/config.ts";
import { post } from "./http.ts";
import type { Notice } from "./notice.ts";
import type { Notifier } from "./notifier.ts";
import { clipped, textOf, titleOf } from "./text.ts";

/** Slack cuts longer ones apart. */
const TEXT_MAX = 3_500;

/** An incoming webhook as Slack's, which many chats understand. */
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
      signal,
    );
  }
}

/** Or `<!channel>` in the name of a table would wake everybody. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
