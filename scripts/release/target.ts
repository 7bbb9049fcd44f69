/** A platform that a release is made for. */
export interface Target {
  /** In file names: `pg321-0.2.0-linux-x64`. */
  name: string;
  /** The npm package with Bun for it, in the version and with the checksum of package-lock.json. */
  runtime: string;
  /** Bun's name of it. */
  bun: Bun.Build.CompileTarget;
  /** Architecture of its .deb. Packages of both kinds are for glibc. */
  deb?: string;
  rpm?: string;
}

/**
 * One executable runs on every x64 CPU since 2008 (SSE4.2): Bun 1.4 chooses faster code at run time, and its packages
 * `-baseline` contain the same bytes.
 */
export const TARGETS: readonly Target[] = [
  { name: "linux-x64", runtime: "@oven/bun-linux-x64", bun: "bun-linux-x64", deb: "amd64", rpm: "x86_64" },
  {
    name: "linux-arm64",
    runtime: "@oven/bun-linux-aarch64",
    bun: "bun-linux-arm64",
    deb: "arm64",
    rpm: "aarch64",
  },
  { name: "linux-x64-musl", runtime: "@oven/bun-linux-x64-musl", bun: "bun-linux-x64-musl" },
  { name: "linux-arm64-musl", runtime: "@oven/bun-linux-aarch64-musl", bun: "bun-linux-arm64-musl" },
];
