import { createHmac } from "node:crypto";
import type { WebhookConfig } from "../config/config.ts";
import { post } from "./http.ts";
import type { Notice } from "./notice.ts";
import type { Notifier, NotifierDependencies } from "./notifier.ts";

/**
 * The notice as JSON. With a secret it is signed: `Pg321-Signature: sha256=<hex>` is the HMAC-SHA-256 of the
 * text of `Pg321-Timestamp` (Unix seconds), a dot, and the body.
 */
export class WebhookNotifier implements Notifier {
  readonly #config: WebhookConfig;
  readonly #deps: NotifierDependencies;

  constructor(config: WebhookConfig, deps: NotifierDependencies) {
    this.#config = config;
    this.#deps = deps;
  }

  async send(notice: Notice, signal: AbortSignal): Promise<void> {
    const { url, secret } = this.#config;
    const body = JSON.stringify(notice);
    const timestamp = String(Math.floor(this.#deps.clock.now().getTime() / 1000));
    const headers: Record<string, string> = {
      "content-type": "application/json",
      "pg321-delivery": notice.id,
      "pg321-timestamp": timestamp,
    };
    if (secret) {
      const hmac = createHmac("sha256", secret.reveal()).update(`${timestamp}.${body}`);
      headers["pg321-signature"] = `sha256=${hmac.digest("hex")}`;
    }
    await post({ url: url.reveal(), headers, body }, this.#config, signal);
  }
}
