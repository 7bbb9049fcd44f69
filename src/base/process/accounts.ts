import { readFileSync } from "node:fs";

/**
 * The fields of the entry with this id or name in passwd(5) or group(5): of the file, or else of LDAP and other sources
 * that only `getent` knows. Undefined if there is none. In both, field 0 is the name and field 2 the id.
 */
export function accountEntry(
  database: "passwd" | "group",
  key: number | string,
): readonly string[] | undefined {
  return entryIn(readDatabase(database), key) ?? entryIn(askGetent(database, key), key);
}

function entryIn(text: string, key: number | string): string[] | undefined {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .find(
      ([name = "", , id]) => name !== "" && (typeof key === "number" ? Number(id) === key : name === key),
    );
}

function readDatabase(database: "passwd" | "group"): string {
  try {
    return readFileSync(`/etc/${database}`, "utf8");
  } catch {
    return "";
  }
}

function askGetent(database: "passwd" | "group", key: number | string): string {
  try {
    const { stdout } = Bun.spawnSync(["getent", database, String(key)], {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return stdout.toString();
  } catch {
    return "";
  }
}
