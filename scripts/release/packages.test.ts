import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output } from "./commit.ts";
import { packagedFiles } from "./contents.ts";
import { buildDeb } from "./deb.ts";
import { packagesInside } from "./inside.ts";
import { licenceTexts } from "./licences.ts";
import { billOfMaterials } from "./sbom.ts";
import { buildTarball } from "./tarball.ts";

const RELEASE = {
  version: "1.2.3",
  commit: "abc1234",
  epoch: 1_790_000_000,
  maintainer: "A <a@example.com>",
};

let directory: string;
let umask: number;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-packages-"));
  umask = process.umask();
});
afterEach(async () => {
  process.umask(umask);
  delete process.env["TZ"];
  await rm(directory, { recursive: true });
});

/** A package and a tarball of a small file in the place of the executable. */
async function build(name: string): Promise<{ deb: string; tarball: string }> {
  const folder = join(directory, name);
  await Bun.write(join(folder, "program"), "#!/bin/sh\n");
  const files = await packagedFiles(join(folder, "program"), RELEASE);
  const [deb, tarball] = [join(folder, "pg321.deb"), join(folder, "pg321-1.2.3-linux-x64.tar.gz")];
  await buildDeb({ release: RELEASE, architecture: "amd64", files, out: deb });
  await buildTarball(files, { release: RELEASE, out: tarball });
  return { deb, tarball };
}

const digest = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

async function paths(command: string, file: string): Promise<string[]> {
  const lines = (await output(["sh", "-c", `${command} "$0"`, file])).trimEnd().split("\n");
  return lines.map((line) => line.replace(/.* \.?/, ""));
}

test("the same files give the same bytes at another place and time, with another umask and time zone", async () => {
  const first = await build("first");
  process.umask(0o077);
  process.env["TZ"] = "Pacific/Chatham";
  const second = await build("second/deeper");
  for (const kind of ["deb", "tarball"] as const)
    expect(digest(await Bun.file(second[kind]).bytes())).toBe(digest(await Bun.file(first[kind]).bytes()));
});

test("a package has the program, the unit, the documents, the manual pages and the completions, all owned by root", async () => {
  const { deb, tarball } = await build("one");
  const inDeb = await paths("dpkg-deb --contents", deb);
  const share = "/usr/share";
  const wanted = [
    ...["/usr/bin/pg321", "/usr/lib/systemd/system/pg321.service"],
    ...["README.md", "config.example.toml", "docs/recovery.md", "docs/cli.md", "contrib/unseal.py"].map(
      (path) => `${share}/doc/pg321/${path}`,
    ),
    `${share}/man/man1/pg321.1.gz`,
    `${share}/man/man5/pg321.toml.5.gz`,
    `${share}/bash-completion/completions/pg321`,
    `${share}/zsh/vendor-completions/_pg321`,
    `${share}/fish/vendor_completions.d/pg321.fish`,
  ];
  expect(inDeb).toEqual(expect.arrayContaining(wanted));
  const owners = (await output(["dpkg-deb", "--contents", deb]))
    .match(/^\S+ \S+/gm)
    ?.map((line) => line.split(" ")[1]);
  expect(new Set(owners)).toEqual(new Set(["root/root"]));
  const unit = await output(["sh", "-c", `dpkg-deb --fsys-tarfile "$0" | tar -xO .${wanted[1]}`, deb]);
  expect(unit).toContain("ExecStart=/usr/bin/pg321 run");
  expect(unit).not.toContain("/usr/local");
  const inTarball = await paths("tar --list --file", tarball);
  const name = "pg321-1.2.3-linux-x64";
  expect(inTarball).toEqual(
    expect.arrayContaining([`${name}/pg321`, `${name}/README.md`, `${name}/docs/install.md`]),
  );
  expect(inTarball.filter((path) => !path.startsWith(`${name}/`))).toEqual([]);
});

test("the bill of materials and the licences name every npm package in the bundle, and Bun", async () => {
  const packages = await packagesInside();
  const names = packages.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(["@aws-sdk/client-s3", "age-encryption", "nodemailer", "valibot"]),
  );
  expect(names).not.toContain("typescript");
  const bill = JSON.parse(await billOfMaterials(RELEASE));
  const purls = bill.components.map(({ purl }: { purl: string }) => purl);
  const licences = await licenceTexts();
  for (const { name, version, license } of packages) {
    expect(purls).toContain(`pkg:npm/${name.replace("@", "%40")}@${version}`);
    expect(licences).toContain(`${name} ${version}: ${license}\n\n`);
  }
  expect(purls.join()).toContain("pkg:npm/%40oven/bun-linux-x64@");
  expect(new Set(purls).size).toBe(purls.length);
  expect(licences).toContain("GNU LIBRARY GENERAL PUBLIC LICENSE");
  expect(await billOfMaterials(RELEASE)).toBe(`${JSON.stringify(bill, undefined, 2)}\n`);
});
