import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parse } from "smol-toml";
import { isTable } from "./schema/values.ts";

const SECRETS = ["access_key_id", "secret_access_key", "session_token"];

/**
 * Where the secrets of each storage of a valid config come from, by the storage's name: `secret_access_key: file /x`.
 * Never a value.
 */
export async function storageSecretSources(file: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const document: Record<string, unknown> = parse(await readFile(file, "utf8"), { maxDepth: 32 });
  const storage: unknown = document["storage"];
  const tables: Record<string, unknown>[] = Array.isArray(storage) ? storage.filter(isTable) : [];
  return new Map(
    tables.flatMap((table) => {
      const name = table["name"];
      if (typeof name !== "string") return [];
      const found = SECRETS.flatMap((key) => (key in table ? `${key}: ${sourceOf(file, table[key])}` : []));
      return [[name, found] as const];
    }),
  );
}

function sourceOf(file: string, value: unknown): string {
  if (!isTable(value)) return `written in \`${file}\``;
  const { env, file: named, credential } = value;
  if (typeof credential === "string")
    return `credential \`${credential}\` (\`${join(dirname(resolve(file)), "credentials", credential)}\`)`;
  if (typeof named === "string") return `file \`${named}\``;
  return `environment variable \`${String(env)}\``;
}
