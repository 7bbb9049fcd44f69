import { fstatSync } from "node:fs";

/**
 * Whether a file descriptor leads right to the journal, by `JOURNAL_STREAM` (systemd.exec(5)): a child of a
 * service whose output goes elsewhere has that variable, too.
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

/** The lines with syslog's priority for errors in front of each, which the journal takes for a prefix. */
export function asErrors(text: string): string {
  return text.replace(/^(?=.)/gm, "<3>");
}
