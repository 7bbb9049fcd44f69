import { existsSync } from "node:fs";
import { lstat, realpath } from "node:fs/promises";
import { Pg321Error } from "../base/errors.ts";

/** Where the packages (.deb, .rpm) put their files; `scripts/release/contents.ts` makes them. */
export const PACKAGED_EXECUTABLE = "/usr/bin/pg321";
export const PACKAGED_UNIT = "/usr/lib/systemd/system/pg321.service";
const PACKAGED_PAGE = "/usr/share/doc/pg321/docs/recovery.md";

/** Where `pg321 install` puts them on a host without the package. */
export const EXECUTABLE_FILE = "/usr/local/bin/pg321";
export const UNIT_FILE = "/etc/systemd/system/pg321.service";
export const PAGE_FILE = "/usr/local/share/doc/pg321/recovery.md";

/** Whether this process runs the executable of a package, which also has the unit. */
export async function isFromPackage(): Promise<boolean> {
  if (!existsSync(PACKAGED_UNIT)) return false;
  const executable = await realpath(process.execPath).catch(() => process.execPath);
  return executable === PACKAGED_EXECUTABLE;
}

/** The service's unit: `install`'s own comes before the package's, as for systemd. Undefined if there is none. */
export function installedUnit(): string | undefined {
  return [UNIT_FILE, PACKAGED_UNIT].find((path) => existsSync(path));
}

/** The page for the worst night, or where `install` will put it. */
export function recoveryFile(): string {
  return existsSync(PACKAGED_PAGE) ? PACKAGED_PAGE : PAGE_FILE;
}

/** Throws code `usage` if `install` would put a second executable and unit in front of a package's. */
export function refuseBesidePackage(): void {
  if (!existsSync(PACKAGED_UNIT)) return;
  throw new Pg321Error("usage", `install: a package is installed on this host (${PACKAGED_UNIT})`, {
    hint: `run: sudo ${PACKAGED_EXECUTABLE} install; to upgrade, install the newer package`,
  });
}

/** Throws code `usage` if the package manager must remove the program. */
export async function refuseToUninstallPackage(): Promise<void> {
  if (!(await isFromPackage())) return;
  throw new Pg321Error("usage", "uninstall: this program belongs to a package", {
    hint: "sudo apt-get remove pg321, or sudo dnf remove pg321; config, keys, catalog and backups stay",
  });
}

/** The files of an earlier `install` that systemd and shells find before the package's. */
export async function filesBeforePackage(): Promise<string[]> {
  const found = await Promise.all(
    [UNIT_FILE, EXECUTABLE_FILE].map((path) =>
      lstat(path).then(
        () => [path],
        () => [],
      ),
    ),
  );
  return found.flat();
}
