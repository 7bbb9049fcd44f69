import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { makePrivateDirectory } from "../../src/base/files/private-files.ts";
import { removeLeftDirectories } from "../../src/jobs/temp-dir.ts";
import { serverProgramsFor } from "../../src/postgres/cluster/programs.ts";
import { startThrowaway } from "../../src/postgres/cluster/throwaway.ts";
import type { Freezable } from "../lab/machine/mounts.ts";
import { mountFreezable } from "../lab/machine/mounts.ts";

/** A throwaway cluster on a disk that dies: not even SIGKILL ends its server. */

setDefaultTimeout(60_000);

const why = process.getuid?.() === 0 ? undefined : "only root can mount";

let directory: string;
let disk: Freezable;
const parent = () => join(directory, "disk");

beforeAll(async () => {
  if (why !== undefined) return;
  directory = mkdtempSync(join(tmpdir(), "pg321-dead-disk-"));
  chmodSync(directory, 0o711);
  mkdirSync(parent());
  disk = await mountFreezable(join(directory, "image"), parent());
  chmodSync(parent(), 0o711);
});
afterAll(async () => {
  if (why !== undefined) return;
  await disk[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const clusters = () => readdirSync(parent()).filter((name) => name.startsWith("pg321-cluster-"));

describe.skipIf(why !== undefined)(`a disk that hangs${why ? `: ${why}` : ""}`, () => {
  test("leaves the cluster, says so, and is no reason to wait; later it is removed, and no other one", async () => {
    const programs = await serverProgramsFor(15, undefined);
    const { signal } = new AbortController();
    const cluster = await startThrowaway({
      ...{ programs, parent: parent(), sessions: 5 },
      ...{ clock: systemClock, signal },
    });
    await using other = await makePrivateDirectory(parent(), "cluster");
    const left = clusters().find((name) => !other.path.endsWith(name)) ?? "";
    const server = Number(readFileSync(join(parent(), left, "data/postmaster.pid"), "utf8").split("\n")[0]);
    await disk.freeze();
    const error = await Promise.resolve(cluster[Symbol.asyncDispose]()).catch((thrown) => thrown);
    expect(String(error)).toContain(`process ${server}, the server of the throwaway cluster in`);
    expect(String(error)).toContain("cannot be ended: it waits for its disk");
    const errors: string[] = [];
    const report = (path: string, what: string) => void errors.push(`${path}: ${what}`);
    expect(await removeLeftDirectories(parent(), report)).toBe(0);
    expect(errors).toEqual([expect.stringContaining(`${left}: process ${server}`)]);
    await disk.thaw();
    expect(await removeLeftDirectories(parent(), report)).toBe(1);
    expect(clusters()).toEqual([other.path.slice(parent().length + 1)]);
    expect(existsSync(`/proc/${server}`)).toBe(false);
  });
});
