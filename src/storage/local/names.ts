/** A clean environment: no secret may reach another program. */
const ENVIRONMENT = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" };

/**
 * Calls `onName` with the name of every file and directory in a directory, in no order; names of directories end in a
 * slash. `find` reads them, because every way to read a directory in this process keeps all its names in memory. `run`
 * limits the wait for the next names. Returns false if this host's `find` cannot do it, or met an error: then names may
 * be missing, and the caller must read the directory itself.
 */
export async function namesIn(
  path: string,
  run: <T>(operation: () => Promise<T>) => Promise<T>,
  onName: (name: string) => void,
): Promise<boolean> {
  const only = ["-mindepth", "1", "-maxdepth", "1"];
  const printed = [
    "(",
    "-type",
    "d",
    "-printf",
    "%f/\\0",
    ")",
    "-o",
    "(",
    "-type",
    "f",
    "-printf",
    "%f\\0",
    ")",
  ];
  // The directory itself may be a symbolic link, which `find` does not follow without the dot.
  const find = startFind([`${path}/.`, ...only, ...printed]);
  if (find === undefined) return false;
  const decoder = new TextDecoder();
  let begun = "";
  const reader = find.stdout.getReader();
  try {
    for (;;) {
      const { done, value } = await run(() => reader.read());
      if (done) break;
      const names = (begun + decoder.decode(value, { stream: true })).split("\0");
      begun = names.pop() ?? "";
      for (const name of names) onName(name);
    }
    return (await run(() => find.exited)) === 0 && begun === "";
  } finally {
    find.kill("SIGKILL");
  }
}

function startFind(options: readonly string[]) {
  try {
    return Bun.spawn(["find", ...options], { stdio: ["ignore", "pipe", "ignore"], env: ENVIRONMENT });
  } catch {
    return undefined;
  }
}
