import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ended, type Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

/** What a killed restore test leaves on this host: its cluster, with a server that still runs. */

setDefaultTimeout(120_000);

const postgres = usePostgres();
const installations = useInstallations(postgres);

/** The directories of throwaway clusters that this installation's process made, wherever they are. */
function clusters(installation: Installation, pid: number): string[] {
  return [join(installation.directory, "state/tmp"), "/var/tmp"].flatMap((parent) =>
    readdirSync(parent)
      .filter((name) => name.startsWith("pg321-cluster-") && name.includes(`-${pid}-`))
      .map((name) => join(parent, name)),
  );
}

function serverPid(cluster: string): number | undefined {
  try {
    // Negative: a backend of initdb.
    return (
      Math.abs(Number(readFileSync(join(cluster, "data/postmaster.pid"), "utf8").split("\n")[0])) || undefined
    );
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.[0] !== "Z";
  } catch {
    return false;
  }
}

test("the next command ends and removes the cluster of a killed test", async () => {
  const installation = await installations.install((directory) => [localStorage("a", directory)]);
  await installation.ok("backup");
  const child = installation.start("restore-test");
  const end = ended(child);
  const server = () => clusters(installation, child.pid).map(serverPid)[0];
  while (child.exitCode === null && server() === undefined) await Bun.sleep(1);
  const pid = server();
  child.kill("SIGKILL");
  await end;
  expect(clusters(installation, child.pid)).toHaveLength(1);
  await installation.ok("cleanup");
  expect(clusters(installation, child.pid)).toEqual([]);
  expect(pid !== undefined && isAlive(pid)).toBe(false);
});
