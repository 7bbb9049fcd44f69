import { expect, test } from "bun:test";
import { loadToml, MINIMAL, RECIPIENT } from "../../test/fixtures/config-file.ts";
import { alertLab } from "../../test/lab/alert-context.ts";
import type { JobContext } from "../jobs/context.ts";
import { alertSigningKey } from "./signing-key.ts";

test("only scheduled backups that are encrypted need a signing key", async () => {
  await using lab = await alertLab();
  const open = async (toml: string) => {
    const config = await loadToml(toml);
    await alertSigningKey({ ...lab, config, keys: { signingKey: undefined } } as unknown as JobContext);
    return (await lab.catalog.alerts({ open: true })).map(({ key, metadata }) => [key, metadata["hint"]]);
  };
  const alert = ["signing key", expect.stringContaining("systemctl reload pg321")];
  expect(await open(MINIMAL)).toEqual([alert]);
  expect(await open(`${MINIMAL}[schedule]\nbackup = "off"\n`)).toEqual([]);
  expect(await open(MINIMAL)).toEqual([alert]);
  expect(await open(MINIMAL.replace(`recipients = ["${RECIPIENT}"]`, 'mode = "none"'))).toEqual([]);
});
