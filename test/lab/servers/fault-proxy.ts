import { connect, createServer, type Socket } from "node:net";
import { systemClock } from "../../../src/base/clock.ts";

/**
 * A TCP proxy on the loopback address that can fail as networks do. A mode applies to open and new connections until
 * another mode is set; the first is `pass`. Byte counts are from the client to the server, for all connections
 * together.
 */
export interface FaultProxy extends AsyncDisposable {
  readonly port: number;
  /** The bytes from clients to the server since the start. */
  bytesUp(): number;
  /** Whether it forwards nothing. After `stallAfter` a client is then waiting to send. */
  isStalled(): boolean;
  /** Forwards everything. */
  pass(): void;
  /** Forwards nothing in either direction and keeps every connection open. */
  stall(): void;
  /** Changes to `stall` after this many more bytes to the server. */
  stallAfter(bytes: number): void;
  /** Cuts every connection after this many more bytes to the server, then refuses new ones. */
  cutAfter(bytes: number): void;
  /** Cuts every connection after this many more bytes to the server, then passes again. */
  cutOnceAfter(bytes: number): void;
  /** Cuts every connection after this many more bytes from the server, then refuses new ones. */
  cutAnswersAfter(bytes: number): void;
  /** Cuts every connection after this many more bytes from the server, then passes again. */
  cutAnswersOnceAfter(bytes: number): void;
  /** Changes to `stall` after this many more bytes from the server. */
  stallAnswersAfter(bytes: number): void;
  /** Forwards at most this many bytes per second. */
  throttle(bytesPerSecond: number): void;
  stop(): Promise<void>;
}

type Mode =
  | { name: "pass" | "stall" | "refuse" }
  | { name: "until"; isUp: boolean; bytesLeft: number; next: "stall" | "refuse" | "pass" }
  | { name: "throttle"; bytesPerSecond: number; freeAtMs: number };

interface Pair {
  client: Socket;
  server: Socket;
}

class TcpFaultProxy implements FaultProxy {
  port = 0;
  #bytesUp = 0;
  #mode: Mode = { name: "pass" };
  #modeChanged = Promise.withResolvers<void>();
  readonly #pairs = new Set<Pair>();
  readonly #targetPort: number;
  readonly #listener = createServer({ pauseOnConnect: true }, (client) => this.#accept(client));

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#listener.listen(0, "127.0.0.1", resolve));
    const address = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    this.port = address.port;
    return this;
  }

  bytesUp(): number {
    return this.#bytesUp;
  }

  isStalled(): boolean {
    return this.#mode.name === "stall";
  }

  pass(): void {
    this.#enter({ name: "pass" });
  }

  stall(): void {
    this.#enter({ name: "stall" });
  }

  stallAfter(bytes: number): void {
    this.#enter({ name: "until", isUp: true, bytesLeft: bytes, next: "stall" });
  }

  cutAfter(bytes: number): void {
    this.#enter({ name: "until", isUp: true, bytesLeft: bytes, next: "refuse" });
  }

  cutOnceAfter(bytes: number): void {
    this.#enter({ name: "until", isUp: true, bytesLeft: bytes, next: "pass" });
  }

  cutAnswersAfter(bytes: number): void {
    this.#enter({ name: "until", isUp: false, bytesLeft: bytes, next: "refuse" });
  }

  cutAnswersOnceAfter(bytes: number): void {
    this.#enter({ name: "until", isUp: false, bytesLeft: bytes, next: "pass" });
  }

  stallAnswersAfter(bytes: number): void {
    this.#enter({ name: "until", isUp: false, bytesLeft: bytes, next: "stall" });
  }

  throttle(bytesPerSecond: number): void {
    this.#enter({ name: "throttle", bytesPerSecond, freeAtMs: systemClock.monotonicMs() });
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#listener.close(resolve));
    this.#cutAll();
    this.#enter({ name: "refuse" });
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #enter(mode: Mode): void {
    this.#mode = mode;
    this.#modeChanged.resolve();
    this.#modeChanged = Promise.withResolvers<void>();
  }

  #accept(client: Socket): void {
    if (this.#mode.name === "refuse") {
      client.destroy();
      return;
    }
    const server = connect(this.#targetPort, "127.0.0.1");
    const pair = { client, server };
    this.#pairs.add(pair);
    const close = () => {
      client.destroy();
      server.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of [client, server]) socket.on("error", close).on("close", close);
    this.#forward(client, server, true);
    this.#forward(server, client, false);
    client.resume();
  }

  /** Reads the next chunk only when the previous one is allowed and written, so that backpressure reaches the sender. */
  #forward(from: Socket, to: Socket, isUp: boolean): void {
    from.on("data", async (chunk: Uint8Array) => {
      from.pause();
      await this.#allowed(chunk.length, isUp);
      if (to.destroyed || from.destroyed) return;
      if (isUp) this.#bytesUp += chunk.length;
      to.write(chunk, () => from.resume());
    });
    from.on("end", () => to.end());
  }

  async #allowed(bytes: number, isUp: boolean): Promise<void> {
    for (;;) {
      const mode = this.#mode;
      if (mode.name === "until" && isUp === mode.isUp) {
        mode.bytesLeft -= bytes;
        if (mode.bytesLeft > 0) return;
        this.#enter({ name: mode.next });
        if (mode.next !== "stall") this.#cutAll();
        continue;
      }
      if (mode.name === "throttle" && isUp) {
        const nowMs = systemClock.monotonicMs();
        mode.freeAtMs = Math.max(mode.freeAtMs, nowMs) + (bytes / mode.bytesPerSecond) * 1000;
        await Promise.race([systemClock.sleep(mode.freeAtMs - nowMs), this.#modeChanged.promise]);
        return;
      }
      if (mode.name !== "stall") return;
      await this.#modeChanged.promise;
    }
  }

  #cutAll(): void {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }
}

/** A proxy for the server at `targetPort` of this machine. */
export function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  return new TcpFaultProxy(targetPort).listen();
}
