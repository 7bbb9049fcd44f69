import type { NotifyConfig } from "../config/config.ts";
import { CommandNotifier } from "./command.ts";
import { HealthchecksNotifier } from "./healthchecks.ts";
import type { Notifier, NotifierDependencies } from "./notifier.ts";
import { NtfyNotifier } from "./ntfy.ts";
import { SlackNotifier } from "./slack.ts";
import { WebhookNotifier } from "./webhook.ts";

/** Opens a notifier. This is the only list of notifiers. Nothing is sent yet. */
export async function openNotifier(config: NotifyConfig, deps: NotifierDependencies): Promise<Notifier> {
  switch (config.type) {
    case "webhook":
      return new WebhookNotifier(config, deps);
    case "slack":
      return new SlackNotifier(config);
    case "ntfy":
      return new NtfyNotifier(config);
    case "email": {
      // The library is loaded only if mail is sent.
      const { EmailNotifier } = await import("./email.ts");
      return new EmailNotifier(config);
    }
    case "healthchecks":
      return new HealthchecksNotifier(config);
    case "command":
      return new CommandNotifier(config);
  }
}
