import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { NotifyConfig } from "../config/config.ts";
import { reach } from "../notify/reach.ts";
import { sendNotice } from "../notify/send.ts";
import { testNotice } from "../notify/test-notice.ts";
import type { Seen } from "./finding.ts";
import { failed, ok } from "./finding.ts";

export interface NotifierOptions {
  clock: Clock;
  /** Whether a test notice is sent. */
  sendsTest: boolean;
  /** The name of this host. */
  host: string;
  /** Empty if there is none yet. */
  installation: string;
}

/** Sends a test notice, or only connects. */
export async function lookAtNotifier(
  config: NotifyConfig,
  { clock, sendsTest, host, installation }: NotifierOptions,
  signal: AbortSignal,
): Promise<Seen[]> {
  const { type, min_level } = config;
  const about = `(${type}) gets alerts from level ${min_level} up`;
  try {
    if (!sendsTest) {
      await reach(config, signal);
      const end = type === "command" ? "the program can be executed" : "the receiver accepts connections";
      return [ok(`${about}; ${end}, nothing was sent (pg321 doctor --notify sends a test)`)];
    }
    await sendNotice(config, testNotice({ clock, host, installation }), { clock, signal });
    return [ok(`${about}; a test notice was delivered`)];
  } catch (error) {
    signal.throwIfAborted();
    const what = sendsTest ? "a test notice was not delivered: " : "";
    const hint = "correct the [[notify]] or its receiver, then try it: pg321 notify test";
    return [failed("storage", `${about}; ${what}${messageOf(error)}`, hint)];
  }
}
