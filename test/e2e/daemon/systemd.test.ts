import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { DaemonLab, YEARLY } from "../../lab/daemon-lab.ts";
import { startProgram } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { NotifySocket } from "../../lab/servers/notify-socket.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
let database: string;

beforeAll(async () => {
  database = await postgres.createDatabase();
});

test("systemd gets readiness, the status, the watchdog, good and bad reloads, and the stop", async () => {
  await using socket = new NotifySocket("abstract");
  await using lab = await DaemonLab.make({
    postgres: postgres.address,
    databases: [database],
    schedule: `backup = "* * * * * *"\ncleanup = "${YEARLY}"`,
  });
  const daemon = watched(
    startProgram(["run"], {
      PG321_CONFIG: lab.installation.configFile,
      NOTIFY_SOCKET: socket.address,
      WATCHDOG_USEC: "100000",
    }),
  );
  try {
    await socket.hears("READY=1\nSTATUS=idle; next: backup at ");
    await socket.hears("WATCHDOG=1");
    await socket.hears("STATUS=backup");

    await lab.schedule(`backup = "${YEARLY}"`);
    daemon.kill("SIGHUP");
    await socket.hears("RELOADING=1\nSTATUS=reloading the config\nMONOTONIC_USEC=");
    await socket.hears(`next: backup at ${new Date().getUTCFullYear() + 1}-01-01T`);
    await lab.schedule('backup = "never"');
    daemon.kill("SIGHUP");
    await socket.hears("the last reload was refused, the previous config stays in force");

    const before = socket.received().length;
    const [ready] = socket.received();
    expect(ready).toStartWith("READY=1");
    daemon.kill("SIGTERM");
    // Keeps reading: the kernel queues only a few datagrams, and a full queue would block the daemon.
    const reading = setInterval(() => socket.received(), 10);
    expect((await daemon.ended.finally(() => clearInterval(reading))).exitCode).toBe(0);
    const last = socket.received().slice(before);
    expect(last.find((message) => message.startsWith("STOPPING=1\nSTATUS=stopping"))).toBeDefined();
    expect(last.find((message) => message.startsWith("EXTEND_TIMEOUT_USEC=30000000"))).toBeDefined();
  } finally {
    daemon.kill("SIGKILL");
    await daemon.ended;
  }
});
