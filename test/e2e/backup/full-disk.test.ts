import { expect, test } from "bun:test";
import { join } from "node:path";
import { Installation, localStorage } from "../../lab/installation.ts";
import { mountTmpfs } from "../../lab/machine/mounts.ts";
import { RECEIVERS } from "../../lab/servers/receivers.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

test.skipIf(process.getuid?.() !== 0)(
  "a full disk is one push for all databases (only root can mount a small file system)",
  async () => {
    await using push = await RECEIVERS.ntfy();
    if (push.config.type !== "ntfy") throw new Error("no push");
    const databases = [await postgres.createDatabase(), await postgres.createDatabase()];
    for (const name of databases)
      await postgres
        .connect(name)
        .unsafe(
          "create table t as select md5(i::text) || md5((i + 1)::text) from generate_series(1, 60000) i",
        );
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases,
      storages: (directory) => [
        localStorage("disk", directory),
        localStorage("usb", directory, { min_free: "0" }),
      ],
      more: `[[notify]]\nname = "push"\ntype = "ntfy"\nurl = "${push.config.url}"\ntopic = "backups"`,
    });
    await using _small = await mountTmpfs(join(installation.directory, "usb"), 1);
    for (let run = 0; run < 2; run++) expect((await installation.run("backup")).exitCode).toBe(3);
    expect(push.requests).toHaveLength(1);
    const { title, message } = JSON.parse(push.requests[0]?.body ?? "");
    expect(title).toMatch(
      /WARNING: 2 databases could not be backed up to usb: storage "usb": put …: no space left on the disk$/,
    );
    expect(message).toContain(
      `Databases: ${databases
        .map((name) => `main/${name}`)
        .sort()
        .join(", ")}\n`,
    );
    expect(message).toMatch(
      /^What to do: free space on the file system of .+\/usb; then run: pg321 repair$/m,
    );
  },
  60_000,
);
