import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ReleaseError, ROOT } from "./commit.ts";
import { type InsidePackage, LOCKED, packagesInside } from "./inside.ts";

const LICENCE_FILE = /^((un)?licen[cs]e|notice|copying)([-.].*)?$/i;
const LINE = "=".repeat(100);

/** One file with the notice of Bun and of every npm package in the executable, and the full text of each licence. */
export async function licenceTexts(): Promise<string> {
  const packages = await packagesInside();
  const own = await Bun.file(join(ROOT, "LICENSE")).text();
  const folder = join(ROOT, "packaging/licences");
  const bun = (await Bun.file(join(folder, "bun.md")).text()).replace("@BUN@", bunVersion());
  const sections = [
    `pg321 contains Bun and ${packages.length} npm packages. pg321 itself:\n\n${own}`,
    bun,
    ...(await Promise.all(packages.map((one) => section(one, packages)))),
    ...(await Promise.all(["LGPL-2.txt", "LGPL-2.1.txt"].map((name) => Bun.file(join(folder, name)).text()))),
  ];
  return `${sections.map((text) => text.trim()).join(`\n\n${LINE}\n\n`)}\n`;
}

/** The version of Bun that is inside. */
export function bunVersion(): string {
  const version = LOCKED["node_modules/bun"]?.version;
  if (version === undefined) throw new Error("package-lock.json has no Bun");
  return version;
}

async function section(one: InsidePackage, all: readonly InsidePackage[]): Promise<string> {
  const title = `${one.name} ${one.version}: ${one.license}`;
  return `${title}\n\n${await textsOf(one, all)}`;
}

async function textsOf(one: InsidePackage, all: readonly InsidePackage[]): Promise<string> {
  const own = await filesOf(one);
  if (own !== "") return own;
  // Some packages of a scope leave out the file that the others have.
  const scope = one.name.startsWith("@") ? `${one.name.split("/")[0]}/` : undefined;
  const sibling = all.filter(
    ({ name, license }) => scope !== undefined && name.startsWith(scope) && license === one.license,
  );
  for (const other of sibling) {
    const text = await filesOf(other);
    if (text !== "") return `(its package has no licence file; this is the one of ${other.name})\n\n${text}`;
  }
  const known = await standardText(one);
  if (known !== undefined) return known;
  throw new ReleaseError(
    `${one.folder} has no file with its licence`,
    `put the text of ${one.license} and its copyright into packaging/licences/${one.name.replace("/", "+")}.txt`,
  );
}

async function filesOf({ folder }: InsidePackage): Promise<string> {
  const directory = join(ROOT, folder);
  const names = (await readdir(directory)).filter((name) => LICENCE_FILE.test(name)).sort();
  const texts = await Promise.all(names.map((name) => Bun.file(join(directory, name)).text()));
  return texts.map((text) => text.replaceAll("\r\n", "\n").trim()).join("\n\n");
}

async function standardText({ name }: InsidePackage): Promise<string | undefined> {
  const file = Bun.file(join(ROOT, `packaging/licences/${name.replace("/", "+")}.txt`));
  return (await file.exists()) ? (await file.text()).trim() : undefined;
}
