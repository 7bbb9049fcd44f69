import { expect, test } from "bun:test";
import { loadToml, MINIMAL } from "../../../test/fixtures/config-file.ts";

test("a prover is named by its signer, not by a recipient or a shorter text", async () => {
  for (const wrong of ["age1qqqq", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURp=", ""])
    await expect(loadToml(`${MINIMAL}[rule]\ntrusted_provers = ["${wrong}"]\n`)).rejects.toThrow(
      "rule.trusted_provers[0]",
    );
});
