import type { Identity } from "../../src/sealed/identity.ts";
import { withUnusedBits } from "./metadata.ts";

export interface IdentityVector {
  name: string;
  bytes: Uint8Array;
  /** Whether this file opens `good-200-bytes`. */
  opens: boolean;
}

/** The identity file `text` after harmless changes by an editor or a clipboard, and after damaging ones. */
export function identityVectors(text: string, other: Identity): IdentityVector[] {
  const [signer = ""] = /(?<=^# signer: ).*/m.exec(text) ?? [];
  const lines = text.trimEnd().split("\n");
  const key = lines.at(-1) ?? "";
  const opens: [string, string | Uint8Array][] = [
    ["as-written", text],
    ["carriage-returns", text.replaceAll("\n", "\r\n")],
    ["byte-order-mark", `\ufeff${text}`],
    ["blanks-around-lines", lines.map((line) => `\t ${line} \t\n`).join("\n")],
    ["no-last-line-end", text.trimEnd()],
    ["blanks-in-comments", text.replaceAll("# signer: ", "#\tsigner :")],
    ["no-blanks-in-comments", text.replaceAll("# signer: ", "#signer:")],
    ["comment-not-utf-8", Buffer.from(`# Schl\xfcssel\n${text}`, "latin1")],
    ["two-identities", `${other.identity.reveal()}\n${text}`],
  ];
  const refused: [string, string | Uint8Array][] = [
    ["empty", ""],
    ["comments-only", lines.slice(0, -1).join("\n")],
    ["no-signer", `${key}\n`],
    ["signer-in-capitals", text.replaceAll("# signer", "# SIGNER")],
    ["signer-with-unused-bits", text.replace(signer, withUnusedBits(signer))],
    ["signer-cut", text.replace(signer, signer.slice(0, 20))],
    ["signer-empty", `# signer:\n${text}`],
    ["signer-and-more", text.replace(signer, `${signer} mine`)],
    ["installation-in-capitals", text.replace(/(?<=^# installation: ).*/m, (id) => id.toUpperCase())],
    ["identity-cut", text.trimEnd().slice(0, -1)],
    ["identity-in-lower-case", text.replace(key, key.toLowerCase())],
    ["identity-of-another", text.replace(key, other.identity.reveal())],
    ["no-break-space-after-identity", text.replace(key, `${key}\u00a0`)],
    ["other-line", `${text}ssh-ed25519 AAAA\n`],
    ["utf-16", Buffer.from(`\ufeff${text}`, "utf16le")],
  ];
  const bytesOf = (content: string | Uint8Array) => Buffer.from(content as string);
  return [
    ...opens.map(([name, content]) => ({ name, bytes: bytesOf(content), opens: true })),
    ...refused.map(([name, content]) => ({ name, bytes: bytesOf(content), opens: false })),
  ];
}
