import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sql } from "postgres";
import postgres from "postgres";
import { s3Storage } from "../installation.ts";
import type { S3Address } from "../servers/s3.ts";
import { SystemdBox } from "./systemd-box.ts";

/** The path of the executable in a box before it is installed. */
export const UNPACKED = "/opt/pg321/pg321";
export const CONFIG = "/etc/pg321/config.toml";
const SOCKET_DIR = "/run/postgresql";

/** A box with an executable, without the files that pg321 may have on this machine. */
export async function startUnpackedBox(
  executable: string,
  options: { hasOwnNetwork?: boolean } = {},
): Promise<SystemdBox> {
  await using started = new AsyncDisposableStack();
  const box = started.use(await SystemdBox.start(options));
  const there = "/etc/pg321 /var/lib/pg321 /usr/local/bin/pg321";
  await box.sh(`rm -rf ${there}; if id pg321 &>/dev/null; then userdel pg321; fi; mkdir -p /opt/pg321`);
  await unpack(box, executable);
  started.move();
  return box;
}

/** Replaces the executable, as if a user unpacked another version. */
export async function unpack(box: SystemdBox, executable: string): Promise<void> {
  await box.ok("rm", "-f", UNPACKED);
  await copyFile(executable, box.path(UNPACKED));
}

/** The output of `pg321 COMMAND --json` as root. */
// biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
export async function printed(box: SystemdBox, ...words: string[]): Promise<any> {
  return JSON.parse(await box.ok("pg321", ...words, "--json"));
}

/**
 * A box set up as the README says: PostgreSQL with the role pg321, which logs in by peer authentication, and keys, but
 * no config yet. `recipient` is for the config.
 */
export async function startInstalledBox(executable: string): Promise<{ box: SystemdBox; recipient: string }> {
  await using started = new AsyncDisposableStack();
  const box = started.use(await startUnpackedBox(executable));
  const [{ recipient }] = await Promise.all([
    box.ok(UNPACKED, "install").then(() => printed(box, "key", "generate")),
    startPostgresIn(box),
  ]);
  await using sql = await connectIn(box, "postgres");
  await sql.unsafe("CREATE ROLE pg321 LOGIN BYPASSRLS");
  await sql.unsafe("GRANT pg_read_all_data, pg_read_all_settings TO pg321");
  await sql.unsafe("ALTER ROLE pg321 SET lo_compat_privileges = on");
  started.move();
  return { box, recipient };
}

/** A PostgreSQL in the box, only on its Unix socket, with peer authentication; root logs in as postgres. */
export async function startPostgresIn(box: SystemdBox): Promise<void> {
  const programs = (await box.sh("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1")).trim();
  const owner = ["-o", "postgres", "-g", "postgres"];
  await box.ok("install", "-d", ...owner, "-m", "0700", "/srv/postgres");
  await box.ok("install", "-d", ...owner, "-m", "2775", SOCKET_DIR);
  const asPostgres = ["env", "-C", "/", "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"];
  const options = ["--auth=peer", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8"];
  await box.ok(...asPostgres, `${programs}/initdb`, "-D", "/srv/postgres", ...options);
  await box.sh(`echo 'local all all peer map=box' >/srv/postgres/pg_hba.conf
printf 'box root postgres\\nbox postgres postgres\\nbox pg321 pg321\\n' >/srv/postgres/pg_ident.conf`);
  const properties = ["User=postgres", "Type=notify", "WorkingDirectory=/srv/postgres"];
  await box.ok(
    ...["systemd-run", "--quiet", "--unit=postgresql-test", ...properties.map((one) => `--property=${one}`)],
    ...[`${programs}/postgres`, "-D", "/srv/postgres", "-k", SOCKET_DIR, "-c", "listen_addresses="],
    ...["-c", "fsync=off", "-c", "shared_buffers=64MB"],
  );
}

/** A superuser's session with the PostgreSQL in the box; it ends when it is disposed of. */
export async function connectIn(box: SystemdBox, database: string): Promise<Sql & AsyncDisposable> {
  const host = join(await box.rootAsInside(), SOCKET_DIR);
  const sql = postgres({ host, port: 5432, user: "postgres", database, max: 1, onnotice: () => {} });
  return Object.assign(sql, { [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) });
}

/** A bucket whose keys are credentials of the service: `NAME-id` and `NAME-secret`. */
export async function credentialStorage(
  box: SystemdBox,
  name: string,
  address: S3Address,
  bucket: string,
): Promise<string> {
  const { access_key_id, secret_access_key } = address;
  await box.write(`/etc/pg321/credentials/${name}-id`, `${access_key_id}\n`, 0o600);
  await box.write(`/etc/pg321/credentials/${name}-secret`, `${secret_access_key}\n`, 0o600);
  return s3Storage(name, address, bucket)
    .replace(JSON.stringify(access_key_id), `{ credential = "${name}-id" }`)
    .replace(JSON.stringify(secret_access_key), `{ credential = "${name}-secret" }`);
}

/** The config of the service: databases over the unix socket, as pg321. */
export function serviceConfig(options: {
  recipient: string;
  databases: readonly string[];
  storages: readonly string[];
  more?: string;
  /** Back up the globals too, as services do by default. */
  globals?: boolean;
}): string {
  const { recipient, databases, storages, more = "", globals = false } = options;
  const named = `name = "main"\nuser = "pg321"\ndatabases = ${JSON.stringify(databases)}`;
  const server = `[[server]]\n${named}\nglobals = ${globals}\n`;
  return [
    server,
    ...storages,
    `[encryption]\nrecipients = ["${recipient}"]\nidentity_file = "/etc/pg321/identity.txt"`,
    more,
    "",
  ].join("\n");
}

/** A `[[storage]]` in a directory of the box. */
export function boxStorage(name: string, path: string): string {
  return `[[storage]]\nname = "${name}"\ntype = "local"\npath = ${JSON.stringify(path)}\nmin_free = "1MiB"`;
}

export interface RunInSandbox {
  /** The process id of the main process. */
  exitCode: number;
  /** Its output and log, without systemd's own lines. */
  printed: string;
}

/** Lets the unit run another command once, in the same sandbox, to its end. */
export async function runOnceInSandbox(box: SystemdBox, command: string): Promise<RunInSandbox> {
  const name = crypto.randomUUID();
  const once = ["Type=oneshot", "WatchdogSec=0", "Restart=no", "ExecStart=", `ExecStart=${command}`];
  const file = "/etc/systemd/system/pg321.service.d/once.conf";
  await box.write(file, ["[Service]", ...once, `LogExtraFields=ONCE=${name}`, ""].join("\n"));
  await box.ok("systemctl", "daemon-reload");
  await box.run("systemctl", "start", "pg321.service");
  const status = await box.ok("systemctl", "show", "pg321.service", "--property=ExecMainStatus", "--value");
  await box.sh(
    `rm ${file}; systemctl daemon-reload; systemctl reset-failed pg321.service || :; journalctl --sync`,
  );
  const printed = await box.ok("journalctl", `ONCE=${name}`, "--output=cat");
  return { exitCode: Number(status), printed };
}
