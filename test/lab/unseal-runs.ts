import { createHash } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";

/** Many runs of contrib/unseal.py in one Python. */
export const UNSEAL = join(import.meta.dir, "../../contrib/unseal.py");

export function outcome(exitCode: number, stdout: Uint8Array, stderr: string) {
  const sha256 = createHash("sha256").update(stdout).digest("hex");
  return { exitCode, length: stdout.length, sha256, stderr };
}

/** Python starts once and forks for each run: to load its libraries takes longer than a vector. */
const RUN_ALL = `
import argparse, json, os, runpy, subprocess, sys, tempfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
program, directory, *runs = json.load(sys.stdin)
codes = []
for index, words in enumerate(runs):
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in (1, "stdout"), (2, "stderr"):
            os.dup2(os.open(f"{directory}/{index}.{name}", os.O_WRONLY | os.O_CREAT), number)
        sys.argv = [program, *words]
        runpy.run_path(program, run_name="__main__")
        sys.exit()
    codes.append(os.waitstatus_to_exitcode(os.wait()[1]))
print(json.dumps(codes))
`;

export async function unsealAll(scratch: string, runs: string[][]) {
  const directory = await mkdtemp(join(scratch, "runs-"));
  const input = Buffer.from(JSON.stringify([UNSEAL, directory, ...runs]));
  const child = Bun.spawn(["python3", "-c", RUN_ALL], { stdin: input, stdout: "pipe", stderr: "inherit" });
  const codes: number[] = JSON.parse(await child.stdout.text());
  const file = (index: number, name: string) => Bun.file(join(directory, `${index}.${name}`));
  const outcomes = codes.map(async (code, index) =>
    outcome(code, await file(index, "stdout").bytes(), await file(index, "stderr").text()),
  );
  return Promise.all(outcomes);
}
