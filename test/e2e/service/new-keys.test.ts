import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { InstallStep } from "../../../src/install/steps.ts";
import { useExecutable } from "../../lab/machine/executable.ts";
import { CONFIG, startUnpackedBox, UNPACKED } from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";

const executable = useExecutable();
let box: SystemdBox;
const install = async (...words: string[]) =>
  JSON.parse(await box.ok(UNPACKED, "install", "--json", ...words));
const states = (report: { steps: InstallStep[] }) =>
  Object.fromEntries(report.steps.map(({ what, state }) => [what, state]));
/** Everything that these installations may change. */
const listing = () => box.sh("find /etc /var/lib /usr/local -printf '%p %M %u %g %s %T@ %l\\n' | sort");
const rights = async (...paths: string[]) =>
  (await box.ok("stat", "-c", "%U:%G %a", ...paths)).trimEnd().split("\n");

const [IDENTITY, SIGNING_KEY] = ["/etc/pg321/identity.txt", "/var/lib/pg321/signing.key"];
const CATALOG = "/var/lib/pg321/catalog.db";

describe.skipIf(noBoxReason !== undefined)(
  `the keys of a new installation${noBoxReason ? `: ${noBoxReason}` : ""}`,
  () => {
    beforeAll(async () => {
      box = await startUnpackedBox(await executable.present());
      await install();
    }, 120_000);
    afterAll(() => box?.[Symbol.asyncDispose]());

    test("are made once, for the service as well, and complete a config that nobody has edited", async () => {
      const first = await install("--generate-keys");
      expect(states(first)).toMatchObject({ [IDENTITY]: "done", [SIGNING_KEY]: "done", [CONFIG]: "done" });
      expect(await rights(IDENTITY, SIGNING_KEY, CONFIG)).toEqual([
        "root:pg321 640",
        "pg321:pg321 600",
        "root:pg321 640",
      ]);
      const before = await listing();
      const second = await install("--generate-keys");
      expect(states(second)).toMatchObject({ [IDENTITY]: "kept", [SIGNING_KEY]: "kept", [CONFIG]: "kept" });
      expect(await listing()).toBe(before);
    });

    test("are shown while the config is not valid, or missing", async () => {
      for (const config of [CONFIG, "/etc/pg321/none.toml"]) {
        const { stdout, stderr } = await box.run("pg321", "key", "show", "--json", "--config", config);
        const shown = JSON.parse(stdout);
        expect(shown).toMatchObject({ identity_file: IDENTITY, signing_key_file: SIGNING_KEY });
        expect(stderr).toContain("the config is not valid yet");
        expect(await box.ok("cat", CONFIG)).toContain(`\nrecipients = ["${shown.recipients[0]}"]\n`);
      }
    });

    test("are not made where backups of lost keys may exist", async () => {
      const refused = async (present: string) => {
        const { exitCode, stderr } = await box.run(UNPACKED, "install", "--generate-keys");
        expect({ exitCode, stderr }).toEqual({
          exitCode: 12,
          stderr: expect.stringContaining(`no keys were made: ${present} belongs to`),
        });
      };
      await box.ok("mv", IDENTITY, "/root/identity");
      await refused(SIGNING_KEY);
      await box.sh(`mv ${SIGNING_KEY} /root/signing; touch ${CATALOG}`);
      await refused(CATALOG);
      await box.sh(`rm ${CATALOG}; mv /root/identity ${IDENTITY}`);
      await refused(IDENTITY);
    });
  },
);
