/**
 * `npm run changelog -- VERSION [DATE]`: puts the fragments of `changes/` into `CHANGELOG.md`, under a heading for the
 * version, and removes them.
 */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const README = "README.md";

interface Fragment {
  /** File name: `SECTION-NAME.md`. */
  file: string;
  text: string;
}

/** The sections in the order of the changelog, from the table in `changes/README.md`: name, heading. */
export function sectionsOf(readme: string): Map<string, string> {
  return new Map(
    [...readme.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map((row) => [row[1] ?? "", row[2] ?? ""]),
  );
}

/** Throws, with every mistake, if a fragment has an unknown section or is not a list. */
export function entryOf(
  sections: ReadonlyMap<string, string>,
  fragments: readonly Fragment[],
  title: string,
): string {
  const mistakes = fragments.flatMap(({ file, text }) => {
    const section = /^(\w+)-[\w-]+\.md$/.exec(file)?.[1];
    if (section === undefined || !sections.has(section))
      return [`${file}: the name must be SECTION-NAME.md, with one of ${[...sections.keys()].join(", ")}`];
    return text.split("\n").every((line) => /^(- | {2}|$)/.test(line)) && text.startsWith("- ")
      ? []
      : [`${file}: it must be a list ("- " at the start of each item, two spaces before its further lines)`];
  });
  if (mistakes.length > 0) throw new Error(mistakes.join("\n"));
  const parts = [...sections].flatMap(([section, heading]) => {
    const own = fragments.filter(({ file }) => file.startsWith(`${section}-`)).map(({ text }) => text.trim());
    return own.length > 0 ? [`**${heading}**`, own.join("\n")] : [];
  });
  return [`## ${title}`, ...parts].join("\n\n");
}

/** The changelog with a new entry above all others. */
export function withEntry(changelog: string, entry: string): string {
  const at = changelog.search(/^## /m);
  return at === -1
    ? `${changelog.trimEnd()}\n\n${entry}\n`
    : `${changelog.slice(0, at)}${entry}\n\n${changelog.slice(at)}`;
}

/** The fragments of `changes/`, sorted by name. */
export async function readFragments(directory: string): Promise<Fragment[]> {
  const files = (await readdir(directory)).filter((file) => file !== README).sort();
  return Promise.all(
    files.map(async (file) => ({ file, text: await readFile(join(directory, file), "utf8") })),
  );
}

async function release(version: string, date: string): Promise<void> {
  const directory = join(ROOT, "changes");
  const fragments = await readFragments(directory);
  if (fragments.length === 0) throw new Error("changes/ has no fragment");
  const sections = sectionsOf(await readFile(join(directory, README), "utf8"));
  const path = join(ROOT, "CHANGELOG.md");
  const entry = entryOf(sections, fragments, `[${version}] - ${date}`);
  await writeFile(path, withEntry(await readFile(path, "utf8"), entry));
  for (const { file } of fragments) await rm(join(directory, file));
}

if (import.meta.main) {
  const [version, date = new Date().toISOString().slice(0, 10)] = process.argv.slice(2);
  if (!version || !/^\d+\.\d+\.\d+$/.test(version))
    throw new Error("expected: npm run changelog -- VERSION [DATE]");
  await release(version, date);
}
