import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chown, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findAccount } from "../base/process/become-user.ts";
import { stateOwner } from "./state-owner.ts";

const NOBODY = findAccount("nobody");

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-owner-"));
});
afterEach(() => rm(directory, { recursive: true }));

describe.skipIf(process.getuid?.() !== 0 || !NOBODY)(
  "the owner of the state (only root can change it)",
  () => {
    const uid = NOBODY?.uid ?? 0;
    const gid = NOBODY?.gid ?? 0;

    test("is that of the directory, or of the nearest existing one above it", async () => {
      expect(await stateOwner(directory)).toBeUndefined();
      expect(await stateOwner(join(directory, "a/b"))).toBeUndefined();
      await chown(directory, uid, gid);
      expect(await stateOwner(directory)).toEqual(NOBODY);
      expect(await stateOwner(join(directory, "a/b"))).toEqual(NOBODY);
      await mkdir(join(directory, "mine"));
      expect(await stateOwner(join(directory, "mine/state"))).toBeUndefined();
    });

    test("may have no name, as in a container", async () => {
      await chown(directory, 61_234, 61_235);
      expect(await stateOwner(directory)).toEqual({
        uid: 61_234,
        gid: 61_235,
        name: undefined,
        home: undefined,
      });
    });

    test("gets the missing directory of an installation, if the user exists", async () => {
      const stateDir = join(directory, "pg321");
      expect(await stateOwner(stateDir, { stateDir, user: "no-such-user" })).toBeUndefined();
      expect(await stateOwner(stateDir, { stateDir: "/elsewhere", user: "nobody" })).toBeUndefined();
      expect(await stateOwner(stateDir, { stateDir, user: "nobody" })).toEqual(NOBODY);
      const made = await stat(stateDir);
      expect([made.uid, made.gid, made.mode & 0o777]).toEqual([uid, gid, 0o700]);
      // A directory that root made for itself stays root's.
      await chown(stateDir, 0, 0);
      expect(await stateOwner(stateDir, { stateDir, user: "nobody" })).toBeUndefined();
    });

    test("a directory that cannot be checked is an error", async () => {
      const file = join(directory, "file");
      await Bun.write(file, "");
      expect(await stateOwner(join(file, "state")).catch((error) => error)).toMatchObject({
        code: "storage",
        message: expect.stringMatching(/^state_dir .*: .*ENOTDIR|not a directory/),
      });
    });
  },
);
