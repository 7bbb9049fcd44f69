import { resolve } from "node:path";
import { shellQuoted } from "../base/text/shell.ts";
import { DEFAULT_CONFIG_PATH } from "../config/load.ts";
import type { Finding } from "./finding.ts";

/**
 * The findings, with commands in their hints that read the config that was examined: sudo does not pass `PG321_CONFIG`
 * on, and the reader may be in another directory by then.
 */
export function withConfig(findings: readonly Finding[], configFile: string): Finding[] {
  const file = resolve(configFile);
  if (file === DEFAULT_CONFIG_PATH) return [...findings];
  const command = `sudo pg321 --config ${shellQuoted(file)} `;
  return findings.map((finding) => ({
    ...finding,
    hint: finding.hint?.replaceAll("sudo pg321 ", () => command) ?? null,
  }));
}
