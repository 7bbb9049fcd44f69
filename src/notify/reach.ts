import { access, constants } from "node:fs/promises";
import { connect } from "node:net";
import type { NotifyConfig } from "../config/config.ts";
import { deliveryError } from "./notifier.ts";

/**
 * Resolves if the receiver of a notifier accepts connections, or its command can be executed. Sends nothing, so it says
 * nothing about tokens, topics and addresses. Throws a `deliveryError`, or the signal's reason.
 */
export async function reach(config: NotifyConfig, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (config.type === "command") return await findProgram(config.argv[0] ?? "");
  const { host, port } = config.type === "email" ? config : placeOf(config);
  await connected(host, port, signal);
}

/** The place that a request connects to: the proxy's, if there is one. */
function placeOf(config: Exclude<NotifyConfig, { type: "email" | "command" }>): {
  host: string;
  port: number;
} {
  const target = typeof config.url === "string" ? config.url : config.url.reveal();
  const { hostname, port, protocol } = new URL(config.proxy?.url.reveal() ?? target);
  const standard = protocol === "https:" ? 443 : 80;
  // An IPv6 address stands in brackets in a URL.
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? standard : Number(port) };
}

function connected(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const end = (settle: () => void) => {
      signal.removeEventListener("abort", stop);
      socket.destroy();
      settle();
    };
    const stop = () => end(() => reject(signal.reason));
    signal.addEventListener("abort", stop, { once: true });
    socket.once("connect", () => end(resolve));
    // Only the code: the message has the address, which may be a secret.
    socket.once("error", ({ code }: NodeJS.ErrnoException) =>
      end(() => reject(deliveryError(`no connection to the receiver (${code ?? "unknown reason"})`, true))),
    );
  });
}

async function findProgram(path: string): Promise<void> {
  try {
    await access(path, constants.X_OK);
  } catch (error) {
    const { code = "unknown reason" } = error as NodeJS.ErrnoException;
    throw deliveryError(`${path} cannot be executed (${code})`, true, error);
  }
}
