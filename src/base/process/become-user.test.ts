import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findAccount } from "./become-user.ts";

const NOBODY = findAccount("nobody");
const isRoot = process.getuid?.() === 0;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-user-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("accounts are found by id and by name; unknown ones are not", async () => {
  expect(findAccount(0)).toMatchObject({ uid: 0, gid: 0, name: "root" });
  expect(findAccount("root")).toEqual(findAccount(0));
  expect(findAccount("no-such-user")).toBeUndefined();
  expect(findAccount(4_000_000_001)).toBeUndefined();
});

/** The user of a separate process after the switch, as that process sees it. */
async function become(account: object, cwd: string) {
  const modules = ["base/process/become-user.ts", "postgres/libpq.ts", "postgres/connection.ts"];
  const [user, libpq, connection] = modules.map((name) =>
    JSON.stringify(join(import.meta.dir, "../..", name)),
  );
  const program = `
    import { writeFile, stat } from "node:fs/promises";
    import { readdirSync, readFileSync } from "node:fs";
    import { becomeUser, homeDirectory, isRoot, userName } from ${user};
    import { libpqEnvironment } from ${libpq};
    import { endpointOfUrl } from ${connection};
    // Threads that already exist must change too.
    await Promise.all(Array.from({ length: 16 }, (_, index) => writeFile(\`${directory}/root-\${index}\`, "")));
    becomeUser(${JSON.stringify(account)});
    const files = Array.from({ length: 32 }, (_, index) => \`${directory}/file-\${index}\`);
    await Promise.all(files.map((file) => writeFile(file, "")));
    const owners = await Promise.all(files.map(async (file) => (await stat(file)).uid));
    const threads = readdirSync("/proc/self/task").map((id) =>
      readFileSync(\`/proc/self/task/\${id}/status\`, "utf8").match(/^(Uid|Gid|Groups|CapEff):.*$/gm).join("|"));
    const child = Bun.spawnSync(["/bin/sh", "-c", "id -u; id -g; id -G; pwd"]).stdout.toString().split("\\n");
    let regained = true;
    try { process.setuid(0); } catch { regained = false; }
    const endpoint = endpointOfUrl("postgres://localhost/app");
    await using environment = await libpqEnvironment({ ...endpoint, password: undefined }, "/tmp");
    console.log(JSON.stringify({ owners: [...new Set(owners)], threads: [...new Set(threads)], child, regained,
      home: homeDirectory(), libpqHome: environment.env.HOME, name: userName(), user: endpoint.user,
      isRoot: isRoot(), cwd: process.cwd() }));`;
  const child = Bun.spawn([process.execPath, "-e", program], {
    cwd,
    env: { PATH: "/usr/bin:/bin", HOME: "/root", USER: "root" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(await new Response(child.stdout).text());
}

test.skipIf(!isRoot || !NOBODY)(
  "all of the process is the other user, for good, and its children too (only root can)",
  async () => {
    if (!NOBODY) return;
    const { uid, gid } = NOBODY;
    await chown(directory, uid, gid);
    const became = await become(NOBODY, "/");
    const ids = (id: number) => `\t${id}`.repeat(4);
    expect(became).toEqual({
      owners: [uid],
      threads: [expect.stringContaining(`Uid:${ids(uid)}|Gid:${ids(gid)}|Groups:\t${gid}`)],
      child: [`${uid}`, `${gid}`, `${gid}`, "/", ""],
      regained: false,
      home: NOBODY.home,
      libpqHome: NOBODY.home,
      name: "nobody",
      user: "nobody",
      isRoot: false,
      cwd: "/",
    });
    expect(became.threads[0]).toContain("CapEff:\t0000000000000000");
  },
);

test.skipIf(!isRoot)(
  "a user without a name, and a working directory that it cannot enter (only root can switch)",
  async () => {
    await chmod(directory, 0o777);
    const closed = await mkdtemp(join(tmpdir(), "pg321-closed-"));
    try {
      const became = await become({ uid: 61_234, gid: 61_235 }, closed);
      expect(became).toMatchObject({ owners: [61_234], home: "/", cwd: "/" });
      expect(became.child).toEqual(["61234", "61235", "61235", "/", ""]);
    } finally {
      await rm(closed, { recursive: true });
    }
  },
);
