import * as v from "valibot";
import type { RuleConfig } from "../config.ts";
import { age, boolean, integer, leaf } from "./leaf.ts";
import { list, table } from "./table.ts";

/** More copies than anybody makes: a typing error. */
const COPIES_MAX = 20;

/** Base64 of a public key's 32 bytes. */
const SIGNER = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

const signer = leaf(
  "a signer, as `pg321 key show` prints it on the host that makes the restore tests",
  (value) => (typeof value === "string" && SIGNER.test(value) ? value : undefined),
);

/** The `[rule]` table. */
export const ruleSchema = v.pipe(
  table("the [rule] table", {
    copies: v.optional(integer(0, COPIES_MAX), 3),
    kinds: v.optional(integer(0, 2), 2),
    off_site: v.optional(integer(0, COPIES_MAX), 1),
    immutable: v.optional(integer(0, COPIES_MAX), 1),
    zero_errors: v.optional(boolean(), true),
    restore_test_max_age: v.optional(age("1d"), "30d"),
    trusted_provers: v.optional(list(signer, "an array of signers of other hosts"), []),
  }),
  v.transform(
    ({ restore_test_max_age, ...demands }): RuleConfig => ({
      ...demands,
      restore_test_max_age_ms: restore_test_max_age,
    }),
  ),
);
