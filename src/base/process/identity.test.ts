import { expect, test } from "bun:test";
import { fateOf, isSameProcess, type ProcessIdentity, processIdentity } from "./identity.ts";

const own = processIdentity();
const FIRST = "4026531836";
const ticks = own.pid_start ?? 0;

/** The identity of a process that has ended. */
async function ended(): Promise<ProcessIdentity> {
  const child = Bun.spawn(["sleep", "60"]);
  const identity = processIdentity(child.pid);
  expect(fateOf(identity)).toBe("alive");
  child.kill("SIGKILL");
  await child.exited;
  return identity;
}

test("the fate of a process in this namespace is seen: alive, ended, or its pid reused", async () => {
  expect(own.pid).toBe(process.pid);
  expect(own.boot_id).toMatch(/^[0-9a-f-]{36}$/);
  expect(own.host_id).toMatch(/^[0-9a-f]{32}$/);
  expect(fateOf(own)).toBe("alive");
  expect(fateOf({ ...own, pid_start: ticks - 1 })).toBe("dead");
  expect(fateOf(await ended())).toBe("dead");
  expect([isSameProcess(own, processIdentity()), isSameProcess(own, processIdentity(1))]).toEqual([
    true,
    false,
  ]);
});

test("a zombie is dead", async () => {
  const shell = Bun.spawn(["sh", "-c", "sleep 0.01 & echo $!; exec sleep 60"], { stdout: "pipe" });
  const { value } = await shell.stdout.getReader().read();
  const pid = Number(new TextDecoder().decode(value));
  const stat = () => Bun.file(`/proc/${pid}/stat`).text();
  while (!(await stat()).includes(") Z ")) await new Promise((resolve) => setImmediate(resolve));
  expect(fateOf({ ...own, pid, pid_start: processIdentity(pid).pid_start })).toBe("dead");
  shell.kill("SIGKILL");
  await shell.exited;
});

test("a process elsewhere is unseen, whether or not its pid exists here", async () => {
  const gone = await ended();
  for (const one of [own, { ...own, pid_start: ticks - 1 }, gone]) {
    expect(fateOf({ ...one, pid_namespace: "4026539999" })).toBe("unseen");
    const otherHost = { boot_id: crypto.randomUUID(), host_id: "0".repeat(32) };
    expect(fateOf({ ...one, ...otherHost })).toBe("unseen");
    expect(fateOf({ ...one, ...otherHost, pid_namespace: FIRST })).toBe("unseen");
  }
});

test("a process from an earlier boot of this host is dead, but unseen from a container", async () => {
  const before = { ...own, boot_id: crypto.randomUUID() };
  const isHost = own.pid_namespace === FIRST;
  expect(fateOf(before)).toBe(isHost ? "dead" : "unseen");
  expect(fateOf({ ...before, pid_namespace: "4026539999" })).toBe("unseen");
});

test("a process of pg321 0.1.0 can be seen to live, but not to be dead", async () => {
  const old = { host_id: null, boot_id: null, pid_namespace: null };
  expect(fateOf({ ...own, ...old })).toBe("alive");
  expect(fateOf({ ...own, ...old, pid_start: ticks - 1 })).toBe("unseen");
  expect(fateOf({ ...own, ...old, pid_start: null })).toBe("unseen");
  expect(fateOf({ ...(await ended()), ...old })).toBe("unseen");
});
