import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "smol-toml";
import { DEFAULT_STATE_DIR } from "./config.ts";
import { databasePattern } from "./database-pattern.ts";
import { fetchValues, isTable, OutsideText, type ValueSource } from "./schema/values.ts";

/** The names in a config that need not be valid. */
export interface ConfigNames {
  servers: string[];
  storages: string[];
  notifiers: string[];
  /** Databases that the config names without a glob. */
  databases: { server: string; database: string }[];
  state_dir: string;
  /** The path of the catalog; undefined if it is in a PostgreSQL database. */
  catalog: string | undefined;
}

/**
 * Reads only names and the place of the catalog, and resolves no secret: for completion, which must be quick and work
 * without a right to read credentials. Rejects if the file cannot be read or is not TOML.
 */
export async function readConfigNames(file: string, env: ValueSource["env"]): Promise<ConfigNames> {
  const document: unknown = parse(await readFile(file, "utf8"), {
    maxDepth: 32,
    unsafeKeyBehaviour: "throw",
  });
  const root = isTable(document) ? document : {};
  const catalog = isTable(root["catalog"]) ? root["catalog"] : {};
  const text = async (value: unknown) => textOf(await fetchValues(value, { env }));
  const state_dir = (await text(root["state_dir"])) ?? DEFAULT_STATE_DIR;
  const servers = tablesOf(root["server"]);
  return {
    servers: namesOf(servers),
    storages: namesOf(tablesOf(root["storage"])),
    notifiers: namesOf(tablesOf(root["notify"])),
    databases: servers.flatMap((server) => {
      const name = server["name"];
      if (typeof name !== "string") return [];
      // A table without a server is about the databases of every server.
      const own = tablesOf(root["database"]).filter(({ server: of = name }) => of === name);
      const listed = Array.isArray(server["databases"]) ? server["databases"] : [];
      return [...new Set([...listed, ...own.map((one) => one["name"])].flatMap(literalName))].map(
        (database) => ({
          server: name,
          database,
        }),
      );
    }),
    state_dir,
    catalog: "url" in catalog ? undefined : ((await text(catalog["path"])) ?? join(state_dir, "catalog.db")),
  };
}

function tablesOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isTable) : [];
}

function namesOf(tables: readonly Record<string, unknown>[]): string[] {
  return tables.map(({ name }) => name).filter((name) => typeof name === "string");
}

function textOf(value: unknown): string | undefined {
  const text = value instanceof OutsideText ? value.text : value;
  return typeof text === "string" ? text : undefined;
}

/** The name of a pattern that is not a glob; nothing for a glob, even for one that is not valid. */
function literalName(written: unknown): string[] {
  try {
    const name = typeof written === "string" ? databasePattern(written).name : undefined;
    return name === undefined || name === "" ? [] : [name];
  } catch {
    return [];
  }
}
