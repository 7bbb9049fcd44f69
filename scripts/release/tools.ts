import { output, ReleaseError } from "./commit.ts";

/** Programs from Debian that a release needs, and their packages. */
const TOOLS = {
  "dpkg-deb": "dpkg",
  rpmbuild: "rpm",
  lintian: "lintian",
  minisign: "minisign",
  git: "git",
  npm: "npm",
  tar: "tar",
  gzip: "gzip",
  xz: "xz-utils",
} as const;

export type Tool = keyof typeof TOOLS;

/** Installs the Debian packages of missing programs if this is root; otherwise throws with the line that does. */
export async function needTools(tools: readonly Tool[]): Promise<void> {
  const missing = tools.filter((tool) => Bun.which(tool) === null);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => TOOLS[tool]))];
  const command = ["apt-get", "install", "-qy", "--no-install-recommends", ...packages];
  if (process.getuid?.() !== 0 || Bun.which("apt-get") === null)
    throw new ReleaseError(`missing: ${missing.join(", ")}`, `sudo ${command.join(" ")}`);
  console.error(`release: installing Debian packages: ${packages.join(" ")}`);
  const env = { ...(process.env as Record<string, string>), DEBIAN_FRONTEND: "noninteractive" };
  await output(["apt-get", "update", "-q"], { env });
  await output(command, { env });
}
