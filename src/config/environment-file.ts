import { readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

/** The file of variables beside a config, which systemd reads for the unit, too: `/etc/pg321/environment`. */
export function environmentFileOf(configFile: string): string {
  return join(dirname(resolve(configFile)), "environment");
}

export interface EnvironmentFile {
  /** 0 if there is no such file, or if this user may not read it: then systemd has read it for the service. */
  mode: number;
  env: Record<string, string>;
  /** The numbers (from 1) of the lines without a variable. */
  strayLines: number[];
}

export async function readEnvironmentFile(file: string): Promise<EnvironmentFile> {
  try {
    const text = await readFile(file, "utf8");
    return { mode: (await stat(file)).mode & 0o777, ...parseEnvironment(text) };
  } catch {
    return { mode: 0, env: {}, strayLines: [] };
  }
}

/** Lines of `NAME=value`, as systemd takes them for EnvironmentFile= (systemd.exec(5)), each on one line. */
export function parseEnvironment(text: string): Pick<EnvironmentFile, "env" | "strayLines"> {
  const env: Record<string, string> = {};
  const strayLines: number[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*([#;]|$)/.test(line)) continue;
    const [, name, value] = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) strayLines.push(index + 1);
    else env[name] = unquoted(value.trim());
  }
  return { env, strayLines };
}

function unquoted(value: string): string {
  const [, double, single] = /^(?:"((?:\\.|[^"\\])*)"|'([^']*)')$/.exec(value) ?? [];
  if (single !== undefined) return single;
  // Within double quotes a backslash escapes only these characters.
  if (double !== undefined) return double.replace(/\\(["\\`$])/g, "$1");
  return value.replace(/\\(.)/g, "$1");
}
