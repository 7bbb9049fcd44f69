import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A relay to a PostgreSQL on the loopback address that can lose a COMMIT of a change, or its answer. */
export interface CommitRelay extends AsyncDisposable {
  readonly port: number;
  /** Cuts every connection and refuses new ones. */
  cut(): void;
  /** Keeps every connection open, accepts new ones, and forwards nothing. */
  stall(): void;
  pass(): void;
  /**
   * Passes everything, until the next COMMIT of a change, once: `lost`: the server never gets it. `unanswered`: it takes effect and the answer is
   * lost. `held`: the client loses the connection, and the server's stays open. Then every connection of a client is cut. `refuses`: new ones are refused from then on.
   */
  loseCommit(how: "lost" | "unanswered" | "held", options?: { refuses?: boolean }): void;
  /** How often a COMMIT was lost so far. */
  lost(): number;
}

interface Pair {
  client: Socket;
  server: Socket;
  /** Whether it is kept open to the server although the client's side is cut. */
  isHeld: boolean;
}

export async function startCommitRelay(targetPort: number): Promise<CommitRelay> {
  let mode: "pass" | "stall" | "refuse" = "pass";
  let next: { how: "lost" | "unanswered" | "held"; refuses: boolean } | undefined;
  let lost = 0;
  const pairs = new Set<Pair>();
  const waiting: (() => void)[] = [];

  const cutAll = () => {
    for (const { client, server, isHeld } of pairs) {
      client.destroy();
      if (!isHeld) server.destroy();
    }
  };
  const enter = (changed: typeof mode) => {
    mode = changed;
    if (mode !== "stall") for (const go of waiting.splice(0)) go();
  };
  const lose = async (pair: Pair, chunk: Uint8Array, { how, refuses }: NonNullable<typeof next>) => {
    lost++;
    next = undefined;
    if (how === "unanswered") {
      pair.server.removeAllListeners("data");
      pair.server.resume();
      pair.server.write(chunk);
      await once(pair.server, "data");
    }
    if (how === "held") pair.isHeld = true;
    if (refuses) enter("refuse");
    cutAll();
  };
  const listener = createServer((client) => {
    if (mode === "refuse") return void client.destroy();
    const pair: Pair = { client, server: connect(targetPort, "127.0.0.1"), isHeld: false };
    pairs.add(pair);
    const forward = (from: Socket, to: Socket, isUp: boolean) => {
      from.on("data", async (chunk: Uint8Array) => {
        while (mode === "stall") await new Promise<void>((go) => waiting.push(go));
        if (next && isUp && Buffer.from(chunk).includes("; COMMIT")) await lose(pair, chunk, next);
        else if (!to.destroyed) to.write(chunk);
      });
      from.on("error", () => {});
      from.on("close", () => {
        if (!pair.isHeld) to.destroy();
      });
    };
    forward(client, pair.server, true);
    forward(pair.server, client, false);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    cut: () => {
      enter("refuse");
      cutAll();
    },
    stall: () => enter("stall"),
    pass: () => enter("pass"),
    loseCommit: (how, { refuses = false } = {}) => {
      next = { how, refuses };
      enter("pass");
    },
    lost: () => lost,
    async [Symbol.asyncDispose]() {
      const closed = once(listener, "close");
      listener.close();
      enter("refuse");
      for (const { client, server } of pairs) {
        client.destroy();
        server.destroy();
      }
      await closed;
    },
  };
}
