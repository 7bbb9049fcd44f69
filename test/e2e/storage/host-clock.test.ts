import { expect, test } from "bun:test";
import type { Finding } from "../../../src/doctor/finding.ts";
import { Installation, localStorage, runProgram, s3Storage } from "../../lab/installation.ts";
import { rgw, swift } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
const HINT = "set the clock: timedatectl set-ntp true";

test.each([
  ["+20m", "ahead of"],
  ["-20m", "behind"],
])(
  "a clock that is off by %s is reported wherever a bucket refuses requests for it",
  async (offset, direction) => {
    const servers = [await rgw(), await swift()] as const;
    const buckets = [await servers[0].makeBucket(), await servers[1].makeBucket()] as const;
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: [await postgres.createDatabase()],
      storages: (directory) => [
        localStorage("disk", directory),
        s3Storage("ceph", servers[0], buckets[0]),
        s3Storage("swift", servers[1], buckets[1]),
      ],
    });
    const run = (...words: string[]) =>
      runProgram(words, {
        PG321_CONFIG: installation.configFile,
        LD_PRELOAD: "/usr/$LIB/faketime/libfaketime.so.1",
        FAKETIME: offset,
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
      });
    const refusal = new RegExp(`: this host's clock is (19|20)m \\d\\ds ${direction} the server's \\(Req`);

    const { findings } = (await run("doctor", "--json")).json as { findings: Finding[] };
    for (const subject of ["ceph", "swift"]) {
      const [finding] = findings.filter((one) => one.area === "storage" && one.subject === subject);
      expect(finding).toMatchObject({
        verdict: "failed",
        message: expect.stringMatching(refusal),
        hint: HINT,
      });
    }
    // The local copy is still made; the others fail in every run, not only in the first.
    for (let time = 0; time < 2; time++) {
      const { exitCode, json } = await run("backup", "--json");
      expect(exitCode).toBe(3);
      const [{ backup_id }] = json.backups;
      const { copies } = (await installation.ok("show", backup_id, "--json")).json;
      const errors = Object.fromEntries(
        copies.map((copy: { storage: string; error: string | null }) => [copy.storage, copy.error]),
      );
      expect(errors).toEqual({
        disk: null,
        ceph: expect.stringMatching(refusal),
        swift: expect.stringMatching(refusal),
      });
    }
    const age = (await installation.ok("list")).stdout;
    expect(age).toMatch(offset.startsWith("+") ? / in (19|20)m \d\ds / : / (19|20|21)m \d\ds /);
  },
);
