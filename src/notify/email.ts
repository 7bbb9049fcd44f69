import { createTransport } from "nodemailer";
import { messageOf } from "../base/errors.ts";
import { isCertificateCode } from "../base/network/certificates.ts";
import { visible } from "../base/text/visible.ts";
import type { EmailConfig } from "../config/config.ts";
import { authoritiesOf, USER_AGENT, untrusted } from "./http.ts";
import type { Notice } from "./notice.ts";
import type { Notifier } from "./notifier.ts";
import { deliveryError } from "./notifier.ts";
import { textOf, titleOf } from "./text.ts";

/** A plain-text mail by SMTP; the notices of one alert form one thread. */
export class EmailNotifier implements Notifier {
  readonly #config: EmailConfig;

  constructor(config: EmailConfig) {
    this.#config = config;
  }

  async send(notice: Notice, signal: AbortSignal): Promise<void> {
    const { from, to } = this.#config;
    const transport = createTransport(await this.#server(signal));
    const domain = from.split("@").at(-1);
    let refused: readonly unknown[];
    try {
      const { rejected } = await transport.sendMail({
        from: { name: "pg321", address: from },
        to,
        subject: titleOf(notice),
        text: textOf(notice),
        messageId: `<${notice.id}@${domain}>`,
        ...(notice.alert_id !== null && { references: `<${notice.alert_id}@${domain}>` }),
        // Keeps vacation notices from answering.
        headers: { "Auto-Submitted": "auto-generated", "User-Agent": USER_AGENT },
        signal,
      });
      refused = rejected;
    } catch (error) {
      signal.throwIfAborted();
      throw smtpError(error);
    } finally {
      transport.close();
    }
    if (refused.length > 0) {
      throw deliveryError(
        `${refused.length} of ${to.length} recipients were refused; the others got the mail`,
        false,
      );
    }
  }

  async #server(signal: AbortSignal) {
    const { host, port, tls, ca_file, user, password, timeout_ms } = this.#config;
    return {
      host,
      port,
      secure: tls === "tls",
      requireTLS: tls === "starttls",
      ignoreTLS: tls === "none",
      connectionTimeout: timeout_ms,
      greetingTimeout: timeout_ms,
      socketTimeout: timeout_ms,
      ...(user !== undefined && password && { auth: { user, pass: password.reveal() } }),
      ...(ca_file !== undefined && { tls: { ca: await authoritiesOf(ca_file, signal) } }),
    };
  }
}

/** A 5xx reply is permanent, whatever its reason; any other error may pass. */
function smtpError(error: unknown): unknown {
  const { responseCode, response, code, originalCode } = error as {
    responseCode?: number;
    response?: string;
    code?: string;
    originalCode?: unknown;
  };
  if (typeof originalCode === "string" && isCertificateCode(originalCode))
    return deliveryError(untrusted(originalCode), true, error);
  if (typeof responseCode === "number") {
    return deliveryError(visible(`reply ${response ?? responseCode}`), responseCode < 500, error);
  }
  return deliveryError(code === undefined ? messageOf(error) : `${code}: ${messageOf(error)}`, true, error);
}
