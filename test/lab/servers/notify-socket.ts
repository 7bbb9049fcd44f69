import { dlopen } from "bun:ffi";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { socketAddress } from "../../../src/base/process/datagrams.ts";
import { eventually } from "../machine/running.ts";

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
});
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

/** A datagram socket instead of systemd's: it keeps the messages of a service. */
export class NotifySocket implements AsyncDisposable {
  /** The value for `NOTIFY_SOCKET`. */
  readonly address: string;
  readonly #socket: number;
  readonly #received: string[] = [];

  constructor(kind: "path" | "abstract" = "path") {
    const name = `pg321-notify-${crypto.randomUUID()}`;
    this.address = kind === "path" ? join(tmpdir(), name) : `@${name}`;
    this.#socket = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
    const address = socketAddress(this.address);
    if (libc.bind(this.#socket, address, address.length) !== 0)
      throw new Error(`cannot bind ${this.address}`);
  }

  /** Reads new datagrams; returns all so far, without the last line break. */
  received(): readonly string[] {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const bytes = Number(libc.recv(this.#socket, buffer, buffer.length, MSG_DONTWAIT));
      if (bytes < 0) return this.#received;
      this.#received.push(Buffer.from(buffer.subarray(0, bytes)).toString().trimEnd());
    }
  }

  /** Resolves when a datagram contains the text. */
  hears(text: string): Promise<void> {
    return eventually(() => this.received().some((message) => message.includes(text)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    libc.close(this.#socket);
    if (!this.address.startsWith("@")) await rm(this.address);
  }
}
