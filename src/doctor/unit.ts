import { existsSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { installedUnit, recoveryFile } from "../install/packaged.ts";
import {
  ENVIRONMENT_FILE,
  passesEnvironmentFile,
  proxiesOfThisProcess,
} from "../install/unit-environment.ts";
import { missingReadableFiles, missingWritablePaths } from "../install/writable-paths.ts";
import type { Seen } from "./finding.ts";
import { failed, ok, warning } from "./finding.ts";

const INSTALL_HINT = "sudo pg321 install, then systemctl restart pg321";

interface LookedAt {
  config: Config;
  /** What was seen of the credentials of the running service. */
  credentials: readonly Seen[];
}

/** Finds nothing if no service is installed. */
export async function lookAtUnit({ config, credentials }: LookedAt): Promise<Seen[]> {
  if (installedUnit() === undefined) return [];
  return [
    ...(await lookAtSandbox(config)),
    ...(await lookAtEnvironment(config)),
    ...lookAtPage(),
    ...credentials,
  ];
}

/** Whether the page for the worst night is at hand. */
function lookAtPage(): Seen[] {
  const page = recoveryFile();
  if (existsSync(page)) return [ok(`the commands to run after each accident: ${page}`)];
  return [warning(`${page}, with the commands to run after each accident, is missing`, "sudo pg321 install")];
}

async function lookAtSandbox(config: Config): Promise<Seen[]> {
  const [unwritable, hidden] = [await missingWritablePaths(config), await missingReadableFiles(config)];
  const seen: Seen[] = [];
  if (unwritable.length > 0) {
    const message = `its sandbox does not let the service write to ${unwritable.join(", ")}`;
    seen.push(failed("usage", message, INSTALL_HINT));
  } else seen.push(ok("its sandbox lets the service write to every directory in the config"));
  if (hidden.length > 0) {
    const message = `its sandbox hides ${hidden.join(", ")} from the service`;
    seen.push(failed("usage", message, `move it to /etc/pg321, or: ${INSTALL_HINT}`));
  }
  return seen;
}

/** The service gets no environment but what its unit passes on. */
async function lookAtEnvironment(config: Config): Promise<Seen[]> {
  const seen: Seen[] = [];
  const variables = await proxiesOfThisProcess(config);
  if (variables.length > 0) {
    const message = `the service does not get ${variables.join(", ")}, which this command uses`;
    const hint = `put it into ${ENVIRONMENT_FILE} (docs/network.md), then systemctl restart pg321`;
    seen.push(warning(message, hint));
  }
  if (existsSync(ENVIRONMENT_FILE) && !(await passesEnvironmentFile())) {
    seen.push(warning(`it does not pass ${ENVIRONMENT_FILE} to the service`, INSTALL_HINT));
  }
  return seen;
}
