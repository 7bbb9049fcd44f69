import { readFileSync } from "node:fs";

type Part = "client" | "server";

/** How each family of distributions names and installs the packages of a major version. */
const FAMILIES: Readonly<Record<string, (part: Part, major: number) => string>> = {
  debian: (part, major) =>
    `apt-get install postgresql-${part === "client" ? "client-" : ""}${major} (a version that the distribution does not have comes from apt.postgresql.org)`,
  rhel: (part, major) =>
    `dnf install postgresql${major}${part === "server" ? "-server" : ""} (from yum.postgresql.org)`,
  suse: (part, major) => `zypper install postgresql${major}${part === "server" ? "-server" : ""}`,
  alpine: (part, major) => `apk add postgresql${major}${part === "client" ? "-client" : ""}`,
  arch: () => "pacman -S postgresql (the newest version only; others are in the AUR)",
};

/** Values of `ID` and `ID_LIKE` in `os-release`, for each family. */
const IDS: Readonly<Record<string, string>> = {
  debian: "debian",
  ubuntu: "debian",
  rhel: "rhel",
  fedora: "rhel",
  centos: "rhel",
  suse: "suse",
  opensuse: "suse",
  sles: "suse",
  alpine: "alpine",
  arch: "arch",
};

/**
 * The command that installs PostgreSQL's client or server programs of a major version on this distribution; of an unknown
 * one, a sentence that names what is needed.
 */
export function installCommand(part: Part, major: number, osRelease: string = readOsRelease()): string {
  const known = familyOf(osRelease);
  if (known) return known(part, major);
  return `install the ${part} programs of PostgreSQL ${major} with this system's packages`;
}

function familyOf(osRelease: string) {
  const value = (key: string) =>
    new RegExp(`^${key}=["']?([^"'\\n]*)`, "m").exec(osRelease)?.[1]?.split(" ") ?? [];
  const ids = [...value("ID"), ...value("ID_LIKE")];
  const family = ids.map((id) => IDS[id.split("-")[0] ?? ""]).find((one) => one !== undefined);
  return family === undefined ? undefined : FAMILIES[family];
}

function readOsRelease(): string {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"])
    try {
      return readFileSync(path, "utf8");
    } catch {
      // The next one, or an unknown distribution.
    }
  return "";
}
