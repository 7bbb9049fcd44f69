import { copyFile } from "node:fs/promises";
import { SystemdBox } from "./systemd-box.ts";

/** Where the executable lies in a box before it is installed. */
export const UNPACKED = "/opt/pg321/pg321";
const ACCOUNT = ["--reuid=postgres", "--regid=postgres", "--init-groups"];

/** A box with an executable in it and without anything that pg321 may have on this machine. */
export async function startUnpackedBox(executable: string): Promise<SystemdBox> {
  await using started = new AsyncDisposableStack();
  const box = started.use(await SystemdBox.start());
  await box.sh(
    "rm -rf /etc/pg321 /var/lib/pg321 /usr/local/bin/pg321; id pg321 >&- 2>&- && userdel pg321; mkdir /opt/pg321; :",
  );
  await unpack(box, executable);
  started.move();
  return box;
}

/** Replaces the executable as a user does who unpacks another version. */
export async function unpack(box: SystemdBox, executable: string): Promise<void> {
  await box.ok("rm", "-f", UNPACKED);
  await copyFile(executable, box.path(UNPACKED));
}

/** A PostgreSQL in the box, on its unix socket only, that lets users in by peer authentication. */
export async function startPostgresIn(box: SystemdBox): Promise<void> {
  const programs = (await box.sh("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1")).trim();
  await box.ok("install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", "/srv/postgres");
  await box.ok("install", "-d", "-o", "postgres", "-g", "postgres", "-m", "2775", "/run/postgresql");
  const asPostgres = ["setpriv", ...ACCOUNT];
  const options = ["--auth=peer", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8"];
  await box.ok("env", "-C", "/", ...asPostgres, `${programs}/initdb`, "-D", "/srv/postgres", ...options);
  const properties = ["User=postgres", "Type=notify", "WorkingDirectory=/srv/postgres"];
  await box.ok(
    ...["systemd-run", "--quiet", "--unit=postgresql-test", ...properties.map((one) => `--property=${one}`)],
    ...[`${programs}/postgres`, "-D", "/srv/postgres", "-k", "/run/postgresql", "-c", "listen_addresses="],
    ...["-c", "fsync=off", "-c", "shared_buffers=64MB"],
  );
}

/** What psql prints, unaligned and without headers. As superuser, unless `user` is another one of the box. */
export async function psql(
  box: SystemdBox,
  database: string,
  statement: string,
  user = "postgres",
): Promise<string> {
  const as = [`--reuid=${user}`, `--regid=${user}`, "--init-groups"];
  const printed = await box.ok(
    ...["env", "-C", "/", "setpriv", ...as, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database],
    ...["-c", statement],
  );
  return printed.trimEnd();
}
