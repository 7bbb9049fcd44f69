import { shellQuoted } from "../base/text/shell.ts";
import { certificateFiles, certificateProblems, namedCertificates } from "../config/certificate-files.ts";
import type { Config } from "../config/config.ts";
import { statsOf } from "./files.ts";
import { canService, SERVICE_USER, serviceAccount } from "./host.ts";
import type { InstallSteps } from "./steps.ts";
import { ENVIRONMENT_FILE, proxiesOfThisProcess } from "./unit-environment.ts";

/** Tells what the service lacks to reach storages, notifiers and servers: certificates and proxies. Changes nothing. */
export async function noteNetwork(steps: InstallSteps, config: Config): Promise<void> {
  const never = new AbortController().signal;
  const bad = await certificateProblems(namedCertificates(config), never);
  for (const { file, problem, hint } of bad) steps.note("attention", file, `${problem}: ${hint}`);
  const isKnown = (await serviceAccount()) !== undefined;
  for (const file of certificateFiles(config)) {
    if (!isKnown || bad.some((one) => one.file === file) || (await canService("r", file))) continue;
    const advice = `chgrp ${SERVICE_USER} ${shellQuoted(file)} && chmod 0640 ${shellQuoted(file)}`;
    steps.note("attention", file, `${SERVICE_USER} cannot read it: ${advice}, or move it to /etc/pg321`);
  }
  await noteEnvironment(steps, config);
}

async function noteEnvironment(steps: InstallSteps, config: Config): Promise<void> {
  const variables = await proxiesOfThisProcess(config);
  if (variables.length > 0) {
    const detail = `${variables.join(", ")} is set for this command; put it into this file for the service`;
    steps.note("attention", ENVIRONMENT_FILE, detail);
  } else if (await statsOf(ENVIRONMENT_FILE)) {
    steps.note("kept", ENVIRONMENT_FILE, "yours; the service gets its variables when it starts");
  }
}
