import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LocalStorageConfig, NotifyConfig, ServerConfig, StorageConfig } from "../config/config.ts";
import type { Writing } from "./writable-paths.ts";
import { dropInText, missingReadableFiles, missingWritablePaths, writtenPaths } from "./writable-paths.ts";

function writing(paths: readonly string[], change: Partial<Writing> = {}): Writing {
  return {
    state_dir: "/var/lib/pg321",
    temp_dir: "/var/lib/pg321/tmp",
    catalog: { type: "sqlite", path: "/var/lib/pg321/catalog.db" },
    server: [],
    notify: [],
    storage: paths.map((path) => ({ type: "local", name: path, path }) as LocalStorageConfig),
    ...change,
  };
}

const ODD = '/srv/odd name/100%"q"\\e:x';

test("a config that writes only to the state directory needs no drop-in", () => {
  expect(writtenPaths(writing(["/var/lib/pg321/backups"]))).toEqual([]);
  expect(dropInText(writing([]))).toBeUndefined();
});

test("each path is listed once, and none below another; a sibling with the same prefix is separate", () => {
  const config = writing(["/srv/b", "/srv/b/c", "/srv/backups", "/var/lib/pg321-other"], {
    temp_dir: "/scratch/pg321",
    catalog: { type: "sqlite", path: "/srv/b/catalog.db" },
  });
  expect(writtenPaths(config)).toEqual(["/scratch/pg321", "/srv/b", "/srv/backups", "/var/lib/pg321-other"]);
});

test("quotes, backslashes, blanks and percent signs are escaped as systemd expects", () => {
  expect(
    dropInText(writing([ODD]))
      ?.split("\n")
      .slice(1),
  ).toEqual(["[Service]", String.raw`ReadWritePaths="-/srv/odd name/100%%\"q\"\\e:x"`, ""]);
});

test("a path in a directory that the unit hides is bound into the sandbox", () => {
  expect(
    dropInText(writing(["/home/x/backups", "/tmp/y"]))
      ?.split("\n")
      .slice(1),
  ).toEqual(["[Service]", "ProtectHome=tmpfs", 'BindPaths="-/home/x/backups"', 'BindPaths="-/tmp/y"', ""]);
});

test("a PostgreSQL socket in a directory that the unit hides is reachable too", () => {
  const at = (...hosts: (string | undefined)[]) =>
    dropInText(writing([], { server: hosts.map((host) => ({ host }) as ServerConfig) }))
      ?.split("\n")
      .slice(2, -1);
  expect(at(undefined, "db.example.com", "/run/postgresql", "/tmpfs")).toBeUndefined();
  expect(at("/tmp/pg", "/tmp/pg", "/home/x/pg")).toEqual([
    "ProtectHome=tmpfs",
    'BindReadOnlyPaths="-/home/x/pg"',
    'BindReadOnlyPaths="-/tmp/pg"',
  ]);
  expect(at("/tmp")).toEqual(["PrivateTmp=no"]);
});

test("the written drop-in fits its config, and not a changed one", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-drop-in-"));
  try {
    const paths = ["/home/x/backups", "/srv/b", ODD];
    expect(await missingWritablePaths(writing(paths), [directory, join(directory, "no")])).toEqual(paths);
    await writeFile(join(directory, "storages.conf"), dropInText(writing(paths)) ?? "");
    expect(await missingWritablePaths(writing(paths), [directory])).toEqual([]);
    expect(await missingWritablePaths(writing([...paths, "/srv/new"]), [directory])).toEqual(["/srv/new"]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("the administrator's own drop-in counts, a comment does not", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-drop-in-"));
  try {
    const own = "[Service]\n#ReadWritePaths=/srv/c\nReadWritePaths = -/data /srv/b\\ b '/home'\n";
    await writeFile(join(directory, "override.conf"), own);
    await writeFile(join(directory, "override.conf~"), "ReadWritePaths=/srv/d");
    const config = writing(["/data/a/b", "/srv/b b", "/srv/c", "/srv/d", "/home/x"]);
    // It is hidden: making it writable does not make it visible.
    expect(await missingWritablePaths(config, [directory])).toEqual(["/home/x", "/srv/c", "/srv/d"]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("certificates in what the unit hides are bound, to be read alone", async () => {
  const config = writing(["/home/x/backups"], {
    server: [
      {
        sslrootcert: "/root/ca.pem",
        sslcert: "/etc/pg321/client.pem",
        sslkey: "/tmp/client.key",
      } as ServerConfig,
      { sslrootcert: "system" } as ServerConfig,
    ],
    notify: [{ type: "webhook", ca_file: "/home/x/backups/ca.pem" } as NotifyConfig],
  });
  const bucket = { type: "s3", ca_file: "/home/x/ca.pem" } as StorageConfig;
  config.storage.push(bucket);
  expect(dropInText(config)?.split("\n").slice(2, -1)).toEqual([
    "ProtectHome=tmpfs",
    'BindPaths="-/home/x/backups"',
    'BindReadOnlyPaths="-/home/x/ca.pem"',
    'BindReadOnlyPaths="-/root/ca.pem"',
    'BindReadOnlyPaths="-/tmp/client.key"',
  ]);
  const directory = await mkdtemp(join(tmpdir(), "pg321-drop-in-"));
  try {
    const hidden = ["/home/x/ca.pem", "/root/ca.pem", "/tmp/client.key"];
    expect(await missingReadableFiles(config, [directory])).toEqual(hidden);
    await writeFile(join(directory, "own.conf"), "[Service]\nBindReadOnlyPaths=/root\nReadWritePaths=/tmp\n");
    expect(await missingReadableFiles(config, [directory])).toEqual(["/home/x/ca.pem", "/tmp/client.key"]);
    await writeFile(join(directory, "storages.conf"), dropInText(config) ?? "");
    expect(await missingReadableFiles(config, [directory])).toEqual([]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
