import { expect, test } from "bun:test";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "../../../src/doctor/finding.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
const ROLE = `doctor_${crypto.randomUUID().slice(0, 8)}`;

async function doctor(at: Installation): Promise<{ exitCode: number; findings: Finding[] }> {
  const { exitCode, json } = await at.run("doctor", "--json");
  return { exitCode, findings: json.findings };
}

// pg_read_all_data, which most installations grant, includes the right to read pg_authid.
test("globals need pg_dumpall, and the right to read pg_authid for the passwords", async () => {
  const own = await postgres.createDatabase();
  const admin = postgres.connect();
  await admin.unsafe(`create role ${ROLE} login bypassrls password 'x'`);
  try {
    await using as = await Installation.make({
      postgres: { ...postgres.address, user: ROLE, password: "x" },
      databases: [own],
      storages: (directory) => [localStorage("disk", directory)],
    });
    expect(JSON.stringify(await doctor(as))).not.toMatch(/pg_dumpall|pg_authid/);
    await as.configure({ globals: true });
    const poor = await doctor(as);
    expect(poor.exitCode).toBe(0);
    expect(poor.findings.map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/^pg_dumpall \d+\.\d+ \(\//),
    );
    const [finding] = poor.findings.filter(({ message }) => message.includes("pg_authid"));
    expect(finding).toMatchObject({ subject: "main", verdict: "warning" });
    const [, database = "", statement = ""] = /in database "(\w+)": (.*)$/.exec(finding?.hint ?? "") ?? [];
    await postgres.connect(database).unsafe(statement);
    const rich = await doctor(as);
    expect(JSON.stringify(rich)).not.toContain("pg_authid");
    expect(rich.findings.map(({ message }) => message)).toContain("can read the passwords of roles");

    const binDir = join(as.directory, "bin");
    await mkdir(binDir);
    await symlink(join(postgres.address.bin_dir, "pg_dump"), join(binDir, "pg_dump"));
    await as.configure({ server: `bin_dir = ${JSON.stringify(binDir)}` });
    const none = await doctor(as);
    expect(none.exitCode).toBe(10);
    expect(none.findings.filter(({ verdict }) => verdict === "failed")).toMatchObject([
      {
        verdict: "failed",
        message: expect.stringMatching(/^no pg_dumpall for PostgreSQL \d+ \(none found\)$/),
        hint: expect.stringContaining("bin_dir"),
      },
    ]);
  } finally {
    await admin.unsafe(`drop owned by ${ROLE}; drop role ${ROLE}`);
  }
});
