/**
 * Writes the manual pages and the completion scripts for packages:
 *
 * - `dist/man/pg321.1` and `dist/man/pg321.toml.5`, for `/usr/share/man/man1` and `man5` (packages compress them),
 * - `dist/completions/pg321.bash`, for `/usr/share/bash-completion/completions/pg321`,
 * - `dist/completions/_pg321`, for `/usr/share/zsh/vendor-completions` (Debian) or `/usr/share/zsh/site-functions`,
 * - `dist/completions/pg321.fish`, for `/usr/share/fish/vendor_completions.d`.
 *
 * They are made from the declarations of the commands and from the schema of the config. The date of the pages is
 * `SOURCE_DATE_EPOCH`, otherwise that of the commit, so the same commit makes the same bytes.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { version } from "../package.json";
import { SCRIPTS } from "../src/cli/completion/scripts.ts";
import { configJsonSchema } from "./config/json-schema.ts";
import { configPage } from "./man/config-page.ts";
import { programPage } from "./man/program-page.ts";

const ROOT = join(import.meta.dir, "..");

/** The manual pages by their names. */
export async function manPages(date: Date): Promise<Record<string, string>> {
  const example = await Bun.file(join(ROOT, "config.example.toml")).text();
  const head = { date, version };
  return {
    "pg321.1": await programPage(head),
    "pg321.toml.5": configPage(head, configJsonSchema(example), example),
  };
}

/** The files by their paths below `dist`. */
export async function packageFiles(date: Date): Promise<Record<string, string>> {
  const pages = Object.entries(await manPages(date));
  return {
    ...Object.fromEntries(pages.map(([name, text]) => [`man/${name}`, text])),
    "completions/pg321.bash": SCRIPTS.bash,
    "completions/_pg321": SCRIPTS.zsh,
    "completions/pg321.fish": SCRIPTS.fish,
  };
}

/** Writes the files below a directory. */
export async function writePackageFiles(directory: string, date: Date = sourceDate()): Promise<void> {
  for (const [path, text] of Object.entries(await packageFiles(date))) {
    await mkdir(join(directory, path, ".."), { recursive: true });
    await Bun.write(join(directory, path), text);
  }
}

/** `SOURCE_DATE_EPOCH`, otherwise the time of the commit, otherwise the epoch. */
function sourceDate(): Date {
  const given = process.env["SOURCE_DATE_EPOCH"];
  const git = () => {
    try {
      return Bun.spawnSync(["git", "log", "-1", "--format=%ct"], {
        cwd: ROOT,
        stderr: "ignore",
      }).stdout.toString();
    } catch {
      return "";
    }
  };
  return new Date(Number(given ?? git()) * 1000);
}

if (import.meta.main) await writePackageFiles(join(ROOT, "dist"));
