import { fstatSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { type Datagrams, datagramsTo } from "./datagrams.ts";

/** The socket of journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). */
const JOURNAL_SOCKET = "/run/systemd/journal/socket";
/** Longer entries travel in a file: the kernel's default limit of a datagram is 208 KiB (net.core.wmem_default). */
const DATAGRAM_BYTES_MAX = 128 * 1024;
const READ_PAUSE_MS = 2;
const READ_PAUSES_MAX = 500;

/** The fields of one entry: names of upper-case letters, digits and `_`, values of any text. */
export type JournalEntry = readonly (readonly [name: string, value: string])[];

/** Sends entries to the journal. */
export interface Journal {
  /** Returns whether the journal has taken the entry. Never blocks. */
  send(entry: JournalEntry): boolean;
}

let opened: Datagrams | undefined;

/** Opens the journal. Returns a journal that takes nothing if the system has no such sockets. */
export async function openJournal(address = JOURNAL_SOCKET): Promise<Journal> {
  const datagrams = await datagramsTo(address).catch(() => undefined);
  opened = datagrams;
  return {
    send(entry) {
      if (!datagrams) return false;
      const message = encoded(entry);
      return message.length <= DATAGRAM_BYTES_MAX ? datagrams.send(message) : datagrams.sendInFile(message);
    },
  };
}

/**
 * Resolves when journald has read the entries of this process, or after a second. It looks the sender's unit up when it
 * reads an entry: `journalctl -u` does not show an entry whose process has ended before.
 */
export async function journalHasRead(): Promise<void> {
  for (let pauses = 0; pauses < READ_PAUSES_MAX && opened?.hasUnread(); pauses++)
    await setTimeout(READ_PAUSE_MS);
}

/** A value with a line break is preceded by its length instead of `=`. */
function encoded(entry: JournalEntry): Buffer {
  return Buffer.concat(
    entry.map(([name, value]) => {
      if (!value.includes("\n")) return Buffer.from(`${name}=${value}\n`);
      const bytes = Buffer.from(`${name}\n________${value}\n`);
      bytes.writeBigUInt64LE(BigInt(Buffer.byteLength(value)), name.length + 1);
      return bytes;
    }),
  );
}

/**
 * Whether a file descriptor leads directly to the journal, according to `JOURNAL_STREAM` (systemd.exec(5)). The
 * variable alone proves nothing: a child of a service inherits it even if its output goes elsewhere.
 */
export function leadsToJournal(stream: string | undefined, fileDescriptor: number): boolean {
  if (!stream) return false;
  try {
    const { dev, ino } = fstatSync(fileDescriptor, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** Syslog's priorities. */
export const PRIORITY = { error: 3, warning: 4, info: 6, debug: 7 } as const;

/** Puts syslog's priority in front of each line, which the journal reads as a prefix. */
export function withPriority(text: string, priority: number): string {
  return text.replace(/^(?=.)/gm, `<${priority}>`);
}
