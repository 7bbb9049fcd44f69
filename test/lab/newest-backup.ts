import { expect } from "bun:test";
import type { Installation } from "./installation.ts";

/** Checks status and copies of the newest backup in `list` and `show`. Returns its id. */
export async function listedAs(installation: Installation, status: string, copies: string): Promise<string> {
  const listed = (await installation.ok("list", "--json")).json.backups[0];
  expect(listed).toMatchObject({ status });
  const shown = (await installation.ok("show", listed.id, "--json")).json;
  for (const one of [listed, shown]) {
    expect(statesOf(one.copies)).toBe(copies);
    expect(one.status).toBe(status);
  }
  return listed.id;
}

/** `disk:CONFIRMED r2:FAILED` */
export function statesOf(copies: { storage: string; state: string }[]): string {
  return copies.map(({ storage, state }) => `${storage}:${state}`).join(" ");
}

/** Checks that `verify` finds a good copy in each of these storages. */
export async function expectGoodCopies(installation: Installation, storages: string[]): Promise<void> {
  const { copies } = (await installation.ok("verify", "--all", "--json")).json;
  expect(copies.map((copy: { storage: string }) => copy.storage)).toEqual(storages);
  for (const copy of copies) expect(copy).toMatchObject({ verdict: "good", segments_checked: true });
}

/** The only backup in `list --json`. */
export async function only(installation: Installation) {
  const { backups } = (await installation.ok("list", "--json")).json;
  expect(backups).toHaveLength(1);
  return backups[0];
}

export async function statusOf(installation: Installation, id: string): Promise<string> {
  return (await installation.ok("show", id, "--json")).json.status;
}
