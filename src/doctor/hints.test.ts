import { expect, test } from "bun:test";
import { DEFAULT_CONFIG_PATH } from "../config/load.ts";
import type { Finding } from "./finding.ts";
import { withConfig } from "./hints.ts";

const finding = (hint: string | null): Finding => ({
  ...{ area: "unit", subject: "pg321.service", verdict: "warning", message: "is missing" },
  code: null,
  hint,
});

test("commands in hints name the config that was examined, unless it is the usual one", () => {
  const findings = [finding("sudo pg321 install, then systemctl restart pg321"), finding(null)];
  expect(withConfig(findings, DEFAULT_CONFIG_PATH)).toEqual(findings);
  expect(withConfig(findings, "/srv/pg 321/$&.toml").map(({ hint }) => hint)).toEqual([
    "sudo pg321 --config '/srv/pg 321/$&.toml' install, then systemctl restart pg321",
    null,
  ]);
});
