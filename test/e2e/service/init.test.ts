import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { useExecutable } from "../../lab/machine/executable.ts";
import {
  connectIn,
  printed,
  startPostgresIn,
  startUnpackedBox,
  UNPACKED,
} from "../../lab/machine/installed-box.ts";
import type { SystemdBox } from "../../lab/machine/systemd-box.ts";
import { noBoxReason } from "../../lab/machine/systemd-box.ts";
import { programOnTerminal } from "../../lab/machine/terminal.ts";

const executable = useExecutable();
let box: SystemdBox;

describe.skipIf(noBoxReason !== undefined)(`init${noBoxReason ? `: ${noBoxReason}` : ""}`, () => {
  beforeAll(async () => {
    box = await startUnpackedBox(await executable.present(), { hasOwnNetwork: true });
    await startPostgresIn(box);
    await using sql = await connectIn(box, "postgres");
    await sql.unsafe("create table orders as select n from generate_series(1, 1000) n");
  }, 120_000);
  afterAll(() => box?.[Symbol.asyncDispose]());

  test("root's answers lead to a running service and a first backup that was restored", async () => {
    const terminal = programOnTerminal(box.words(UNPACKED, "init"));
    const answer = async (question: RegExp, text: string) => {
      await terminal.shows(question);
      terminal.type(`${text}\r`);
    };
    await answer(/Server: [^\n]*\[[^\n]*\]: $/, "");
    await answer(/CREATE ROLE "pg321"[\s\S]*Run them now as "postgres"\? \[Y\/n\] $/, "");
    await answer(/Directory for backups \[\/var\/backups\/pg321\]: $/, "/srv/backups");
    await answer(/Add a bucket[^\n]*\[y\/N\] $/, "");
    await answer(/Back up every day at[^\n]*\[02:00\]: $/, "");
    const { exitCode, written } = await terminal.ended;
    expect({ exitCode, written }).toMatchObject({ exitCode: 0 });
    expect(written).toContain("The first backup is proven");
    // Init does what install would have a person do next.
    expect(written).not.toMatch(/FILL IN|sudoedit|not valid|make the first backup/);
    expect(await box.ok("systemctl", "is-active", "pg321")).toBe("active\n");
    const { backups } = await printed(box, "list");
    expect(backups).toMatchObject([{ database: "postgres", status: "VERIFIED" }, { kind: "globals" }]);
    expect(await box.ok("stat", "-c", "%U:%G %a", "/etc/pg321/config.toml")).toBe("root:pg321 640\n");
    expect(await box.sh("ls /etc/pg321")).not.toContain("draft");
  }, 120_000);

  test("a config that was completed is never replaced", async () => {
    const before = await box.ok("cat", "/etc/pg321/config.toml");
    const again = await box.run("pg321", "init", "--yes");
    expect(again).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("is set up here already") });
    expect(await box.ok("cat", "/etc/pg321/config.toml")).toBe(before);
  });
});
