import type { AlertLevel, NtfyConfig } from "../config/config.ts";
import { post } from "./http.ts";
import type { Notice } from "./notice.ts";
import type { Notifier } from "./notifier.ts";
import { clipped, textOf, titleOf } from "./text.ts";

/** ntfy turns messages longer than 4096 bytes into files; a character may take four bytes. */
const TEXT_MAX = 1_000;
/** 3 is normal, 5 gets through to a silenced phone. */
const PRIORITIES: Record<AlertLevel, number> = { INFO: 3, WARNING: 4, CRITICAL: 5 };
const TAGS: Record<AlertLevel, string> = {
  INFO: "white_check_mark",
  WARNING: "warning",
  CRITICAL: "rotating_light",
};

/** Publishes as JSON, because a title in a header cannot contain every character. */
export class NtfyNotifier implements Notifier {
  readonly #config: NtfyConfig;

  constructor(config: NtfyConfig) {
    this.#config = config;
  }

  async send(notice: Notice, signal: AbortSignal): Promise<void> {
    const { url, topic, token } = this.#config;
    const level = notice.event === "resolved" ? "INFO" : notice.level;
    const body = JSON.stringify({
      topic: topic.reveal(),
      title: titleOf(notice),
      message: clipped(textOf(notice), TEXT_MAX),
      priority: PRIORITIES[level],
      tags: [TAGS[level]],
    });
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (token) headers["authorization"] = `Bearer ${token.reveal()}`;
    await post({ url, headers, body }, this.#config, signal);
  }
}
