import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findAccount } from "../base/process/become-user.ts";
import { ownerOf } from "../base/process/owners.ts";
import { exposureOf } from "./exposed-secrets.ts";

const service = findAccount("nobody");
const why = process.getuid?.() !== 0 || !service ? "needs root, to own files as others" : undefined;

let directory: string;
let file: string;
let state: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-exposed-"));
  [file, state] = [join(directory, "config.toml"), join(directory, "state")];
  await mkdir(state);
  await writeFile(file, "");
});
afterAll(() => rm(directory, { recursive: true }));

async function exposure(mode: number, gid: number, stateDir = state) {
  await chown(file, 0, gid);
  await chmod(file, mode);
  return exposureOf(file, await stat(file), stateDir);
}

test("without a service only its owner may read it", async () => {
  const gid = process.getgid?.() ?? 0;
  await chmod(file, 0o640);
  for (const stateDir of [state, join(directory, "none")].filter((one) => one !== state || gid === 0))
    expect(await exposureOf(file, await stat(file), stateDir)).toEqual({
      readers: "its group",
      remedy: `chmod 0600 ${file}`,
    });
  await chmod(file, 0o600);
  expect(await exposureOf(file, await stat(file), state)).toBeUndefined();
});

test.skipIf(why !== undefined)(
  `the service's group may read it, as install writes it; the remedy keeps that${why ? `: ${why}` : ""}`,
  async () => {
    const gid = service?.gid ?? 0;
    await chown(state, service?.uid ?? 0, gid);
    expect(await exposure(0o640, gid)).toBeUndefined();
    expect(await exposure(0o600, 0)).toBeUndefined();
    const remedy = `chgrp ${ownerOf({ uid: 0, gid }).group} ${file} && chmod 0640 ${file}`;
    expect(await exposure(0o644, gid)).toEqual({ readers: "everyone", remedy });
    expect(await exposure(0o640, 4)).toEqual({ readers: "its group", remedy });
    // The service owns the file: it needs no group.
    await chown(file, service?.uid ?? 0, 4);
    expect(await exposureOf(file, await stat(file), state)).toEqual({
      readers: "its group",
      remedy: `chmod 0600 ${file}`,
    });
  },
);
