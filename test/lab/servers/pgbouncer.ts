import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import type { PostgresAddress } from "./postgres.ts";

/** The program, where Debian's package has it; not every user's PATH names that directory. */
const PGBOUNCER = "/usr/sbin/pgbouncer";

/** PgBouncer in transaction mode before a server: clients share two sessions. */
export interface LabPgbouncer extends AsyncDisposable {
  port: number;
}

export async function startPgbouncer({
  port: target,
  user,
  password,
}: PostgresAddress): Promise<LabPgbouncer> {
  const directory = mkdtempSync(join(tmpdir(), "pg321-lab-pgbouncer-"));
  chmodSync(directory, 0o755);
  const port = await freePort();
  const file = join(directory, "pgbouncer.ini");
  const lines = [
    "[databases]",
    `* = host=127.0.0.1 port=${target} user=${user} password=${password}`,
    "[pgbouncer]",
    ...["listen_addr = 127.0.0.1", `listen_port = ${port}`, "unix_socket_dir =", "auth_type = any"],
    ...["pool_mode = transaction", "default_pool_size = 2", "max_client_conn = 100"],
    ...(userInfo().uid === 0 ? ["user = nobody"] : []),
  ];
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o644 });
  const child = Bun.spawn([PGBOUNCER, file], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  while (child.exitCode === null && !(await answers(port))) await Bun.sleep(10);
  if (child.exitCode !== null) throw new Error(`pgbouncer: ${await new Response(child.stderr).text()}`);
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      child.kill("SIGKILL");
      await child.exited;
      rmSync(directory, { recursive: true });
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
