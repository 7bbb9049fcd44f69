/** Compiles `dist/pg321`, one executable that needs no other files. */
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { version } from "../package.json";

const ROOT = join(import.meta.dir, "..");
/** The output of `npm run build`. */
export const EXECUTABLE = join(ROOT, "dist/pg321");

interface Identity {
  version: string;
  commit: string;
}

/** Another platform than this one: Bun's name of it, and Bun's executable for it. */
export interface OtherPlatform {
  target: Bun.Build.CompileTarget;
  executablePath: string;
}

/** `as`: the version and commit that it reports; tests of upgrades need another version. */
export async function build(
  outfile: string,
  as: Identity = { version, commit: commit() },
  platform?: OtherPlatform,
): Promise<void> {
  await mkdir(dirname(outfile), { recursive: true });
  // The source maps are inside; the files that Bun writes next to the executable are not needed.
  const directory = await mkdtemp(`${outfile}-`);
  try {
    const made = join(directory, basename(outfile));
    await compile(made, as, platform);
    await rename(made, outfile);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function compile(outfile: string, as: Identity, platform?: OtherPlatform): Promise<void> {
  await Bun.build({
    entrypoints: [join(ROOT, "src/main.ts")],
    // Bytecode halves the start-up time; it needs this format. Not minified: stack traces stay readable.
    format: "esm",
    bytecode: true,
    sourcemap: "linked",
    // Dynamic imports become separate files inside the executable, which saves an idle daemon about 4 MB.
    splitting: true,
    define: { PG321_VERSION: JSON.stringify(as.version), PG321_COMMIT: JSON.stringify(as.commit) },
    // Without autoloadBunfig: a bunfig.toml in the working directory could run its code inside the daemon.
    // `--use-system-ca`: authorities that this host trusts (update-ca-certificates) count next to Bun's own.
    compile: {
      outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      execArgv: ["--use-system-ca"],
      ...platform,
    },
  });
}

function commit(): string {
  try {
    const { success, stdout } = Bun.spawnSync(["git", "rev-parse", "HEAD"], {
      cwd: ROOT,
      stderr: "ignore",
    });
    // As many digits in every clone.
    return success ? stdout.toString().slice(0, 7) : "unknown";
  } catch {
    // No git on this machine.
    return "unknown";
  }
}

if (import.meta.main) {
  await build(EXECUTABLE);
  const mebibytes = (await stat(EXECUTABLE)).size / 2 ** 20;
  console.log(`dist/pg321: ${mebibytes.toFixed(1)} MiB, version ${version}, commit ${commit()}`);
}
