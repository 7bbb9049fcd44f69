import { fstatSync } from "node:fs";

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

/** Puts syslog's priority for errors in front of each line, which the journal reads as a prefix. */
export function asErrors(text: string): string {
  return text.replace(/^(?=.)/gm, "<3>");
}
