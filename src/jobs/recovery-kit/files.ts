import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import UNSEAL from "../../../contrib/unseal.py" with { type: "text" };
import FORMAT from "../../../docs/format.md" with { type: "text" };
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { visibleData } from "../../base/text/visible.ts";
import { markdownOf, textOf } from "./blocks.ts";
import type { KitFacts } from "./facts.ts";
import { kitPage } from "./page.ts";

/** A file of a recovery kit. */
export interface KitFile {
  name: string;
  text: string;
}

export const SUMS = "SHA256SUMS";
const SUMS_TITLE = "# pg321 recovery kit. Check it with: sha256sum -c SHA256SUMS";
/** Before the hash of a file that is being replaced, so that an interrupted run recognizes its own files. */
const REPLACED = "# replaced ";

/** The files of a kit, without the list of their hashes. */
export function kitFiles(facts: KitFacts): KitFile[] {
  const page = kitPage(visibleData(facts));
  return [
    { name: "recovery-kit.md", text: markdownOf(page) },
    { name: "recovery-kit.txt", text: textOf(page) },
    { name: "format.md", text: FORMAT },
    { name: "unseal.py", text: UNSEAL },
  ];
}

/** The whole kit as one Markdown text: the page, then the decoder and the format, so that nothing else is needed. */
export function wholeKit(files: readonly KitFile[]): string {
  const textAt = (name: string) => files.find((file) => file.name === name)?.text ?? "";
  return [
    textAt("recovery-kit.md"),
    "# unseal.py\n",
    `\`\`\`python\n${textAt("unseal.py")}\`\`\`\n`,
    textAt("format.md"),
  ].join("\n");
}

export function sha256Of(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Writes a kit into a directory, which is made if it does not exist. Replaces the files of an older kit, each in one
 * step; a file that no kit wrote, or that a person has changed, is refused before anything is written (code `usage`).
 */
export async function writeKit(directory: string, files: readonly KitFile[]): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    const sums = await read(join(directory, SUMS));
    const known = sums === undefined ? new Map<string, string[]>() : knownHashes(sums);
    const strangers = known === undefined ? [SUMS] : [];
    const replaced: string[] = [];
    for (const { name, text } of files) {
      const there = await read(join(directory, name));
      if (there === undefined || there === text) continue;
      if (known?.get(name)?.includes(sha256Of(there)))
        replaced.push(`${REPLACED}${sha256Of(there)}  ${name}`);
      else strangers.push(name);
    }
    if (strangers.length > 0) throw notOurs(directory, strangers);
    const lines = files.map(({ name, text }) => `${sha256Of(text)}  ${name}`);
    // First the hashes, old and new ones: if this process ends here, the next one still recognizes every file.
    await replace(directory, SUMS, [SUMS_TITLE, ...replaced, ...lines, ""].join("\n"));
    for (const { name, text } of files) await replace(directory, name, text);
    if (replaced.length > 0) await replace(directory, SUMS, [SUMS_TITLE, ...lines, ""].join("\n"));
  } catch (cause) {
    if (cause instanceof Pg321Error) throw cause;
    throw new Pg321Error("usage", `recovery-kit: ${directory}: ${messageOf(cause)}`, {
      hint: "name a directory that this user may write to",
      cause,
    });
  }
}

function notOurs(directory: string, names: readonly string[]): Pg321Error {
  const which = names.length === 1 ? `${names[0]} is` : `${names.join(", ")} are`;
  return new Pg321Error(
    "usage",
    `recovery-kit: nothing was written: ${which} in ${directory} already, and not as pg321 wrote it`,
    { hint: "choose another directory, or move what is there away" },
  );
}

/** The hashes of each file in a list that a kit wrote; undefined if it is another list. */
function knownHashes(sums: string): Map<string, string[]> | undefined {
  const [title, ...lines] = sums.split("\n");
  if (title !== SUMS_TITLE) return undefined;
  const known = new Map<string, string[]>();
  for (const line of lines) {
    const [, hash, name] = /^(?:# replaced )?([0-9a-f]{64}) {2}(\S+)$/.exec(line) ?? [];
    if (hash !== undefined && name !== undefined) known.set(name, [...(known.get(name) ?? []), hash]);
  }
  return known;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Readable by everybody, because it holds no secret; whole or not at all. */
async function replace(directory: string, name: string, text: string): Promise<void> {
  const temporary = join(directory, `.${name}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    {
      await using file = await open(temporary, "wx", 0o644);
      await file.writeFile(text);
      await file.sync();
    }
    await chmod(temporary, name.endsWith(".py") ? 0o755 : 0o644);
    await rename(temporary, join(directory, name));
    await using opened = await open(directory);
    await opened.sync();
  } finally {
    await rm(temporary, { force: true });
  }
}
