import { expect, test } from "bun:test";
import { Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { type BundledFile, bundleIn, openBundle, sealBundle } from "./bundle.ts";

const PASSPHRASE = new Secret("correct horse battery");
const rights = { user: "root", group: "pg321", uid: 0, gid: 998 };
const file = (path: string, content: Uint8Array): BundledFile => ({
  path,
  role: "credential",
  ...rights,
  mode: 0o640,
  directory: { ...rights, mode: 0o700 },
  content: Buffer.from(content),
});
const about = {
  exported_at: "2026-01-01T00:00:00.000Z",
  host: "db1",
  pg321_version: "0.1.0",
  config_file: "/etc/pg321/config.toml",
};

const open = (text: string | Uint8Array) => openBundle("FILE", Buffer.from(text), PASSPHRASE);
function refusal(json: unknown): { code: string; message: string } {
  try {
    bundleIn("FILE", JSON.stringify(json));
  } catch (error) {
    if (error instanceof Pg321Error) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("not refused");
}

test("files come back byte for byte, text or not, with owner and mode", async () => {
  const files = [
    file("/etc/a", Buffer.from("text \u00e4\n")),
    file("/etc/b", Buffer.from([0xff, 0, 1])),
    file("/etc/c", Buffer.from("\ufeffwith a byte order mark")),
    file("/etc/d", Buffer.alloc(0)),
  ];
  const bundle = { ...about, files };
  const sealed = await sealBundle(bundle, PASSPHRASE);
  expect(sealed).toStartWith("-----BEGIN AGE ENCRYPTED FILE-----\n");
  expect(await open(sealed)).toEqual(bundle);
  // What a mail or an editor makes of its line ends does not matter.
  expect(await open(sealed.replaceAll("\n", "\r\n"))).toEqual(bundle);
});

test("other files are refused, each for its reason, and nothing of them is quoted", () => {
  const sound = {
    format: "pg321 host 1",
    ...about,
    files: [
      { path: "/etc/a", role: "config", ...rights, mode: "0640", directory: { ...rights, mode: "0755" } },
    ],
  };
  const changed = (change: object) => refusal({ ...sound, files: [{ ...sound.files[0], ...change }] });
  expect(bundleIn("FILE", JSON.stringify(sound)).files[0]?.content.length).toBe(0);
  expect(refusal({ ...sound, format: "pg321 host 2" })).toMatchObject({ code: "usage" });
  expect(refusal({ format: "other" })).toMatchObject({ code: "key" });
  expect(refusal("text")).toMatchObject({ code: "key" });
  for (const path of ["etc/a", "/etc/../a", "/etc//a", "/etc/a/", "/", "/etc/a\u0000b"])
    expect(changed({ path })).toMatchObject({ code: "verification" });
  expect(changed({ mode: "9999" })).toMatchObject({ code: "verification" });
  expect(changed({ user: "root:x" })).toMatchObject({ code: "verification" });
  expect(changed({ path: "hunter2" }).message).not.toContain("hunter2");
});
