import { readFileSync } from "node:fs";
import type { Style } from "../../src/cli/output/output.ts";

const README = new URL("../../README.md", import.meta.url);

/** The next steps, with a real server: the commands of README's first hour, which a test runs as they stand. */
export function nextSteps({ bold, dim }: Style): string[] {
  const [, hour = ""] = readFileSync(README, "utf8").split("\n## The first hour\n");
  const [, commands = ""] = /^```sh\n(.*?)^```$/ms.exec(hour) ?? [];
  return [
    bold("Next, with a real server"),
    "",
    ...commands
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line.replace(/ # .*$/, (comment) => dim(comment))}`),
    "",
    "README.md (The first hour) explains each of them; docs/recovery.md says what to do at 3 a.m.",
  ];
}
