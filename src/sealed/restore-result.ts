import * as v from "valibot";
import { Pg321Error } from "../base/errors.ts";
import { RESULT_BYTES_MAX } from "../base/limits.ts";
import { exactText } from "../base/text/utf8.ts";
import { isBase64Of } from "./base64.ts";
import { parseCompact } from "./json.ts";
import { count, faultyMembers, name, signer, text, utcTime, uuid } from "./metadata.ts";
import type { SigningKey } from "./signing-key.ts";
import { isSignedBy, SIGNATURE_BYTES } from "./signing-key.ts";

const DOMAIN = "pg321 restore result 1 signature\n";

/** Keys and order as in the file. */
const entries = {
  test_id: uuid,
  installation: uuid,
  backup_id: uuid,
  server: name,
  database: name,
  backup_started_at: utcTime,
  /** Of the object that was restored, so that the result is about these bytes. */
  object_sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  outcome: v.picklist(["PASSED", "FAILED"]),
  started_at: utcTime,
  finished_at: utcTime,
  fetch_ms: v.nullable(count),
  restore_ms: v.nullable(count),
  check_ms: v.nullable(count),
  dump_bytes: v.nullable(count),
  /** Checks that were made, and those that found something else than expected. */
  checks: count,
  failed_checks: count,
  pg321_version: text(255),
  /** The checks with their names and numbers, which a reader of the bucket must not see, made by `sealDetails`. */
  details: v.optional(text(RESULT_BYTES_MAX)),
};
const fieldsSchema = v.object(entries);
const schema = v.object({
  restore_result: v.literal(1),
  ...entries,
  signer,
  signature: v.pipe(
    v.string(),
    v.check((value) => isBase64Of(value, SIGNATURE_BYTES)),
  ),
});

/** The result of a restore test, as the host that made it leaves it beside the backup. */
export type RestoreResultFields = v.InferOutput<typeof fieldsSchema>;

export interface RestoreResult extends RestoreResultFields {
  signer: string;
}

/** The result's exact text: compact JSON, signed. */
export function encodeRestoreResult(fields: RestoreResultFields, signingKey: SigningKey): string {
  const valid: Record<string, unknown> = v.parse(fieldsSchema, fields);
  const body = {
    restore_result: 1,
    ...Object.fromEntries(Object.keys(entries).flatMap((key) => (key in valid ? [[key, valid[key]]] : []))),
    signer: signingKey.signer,
  };
  const signature = signingKey.sign(DOMAIN, Buffer.from(JSON.stringify(body)));
  const encoded = JSON.stringify({ ...body, signature: Buffer.from(signature).toString("base64") });
  if (Buffer.byteLength(encoded) > RESULT_BYTES_MAX) throw new Error("the restore result is too large");
  return encoded;
}

/**
 * Reads a result. Throws code `verification` if it is damaged, forged or not a result, code `key` if its signer is
 * not one of `trustedProvers`.
 */
export function decodeRestoreResult(bytes: Uint8Array, trustedProvers: readonly string[]): RestoreResult {
  const encoded = bytes.length > RESULT_BYTES_MAX ? undefined : exactText(bytes);
  if (encoded === undefined) throw invalid("it is too large or not UTF-8");
  const parsed = parseCompact(encoded, (why) => invalid(`it ${why}`));
  const result = v.safeParse(schema, parsed);
  if (!result.success) throw invalid(`it has no valid ${faultyMembers(result.issues)}`);
  const { restore_result: _, signature, ...found } = result.output;
  if (!trustedProvers.includes(found.signer)) throw untrusted(found.signer);
  const { signature: _signature, ...body } = parsed;
  const signed = Buffer.from(JSON.stringify(body));
  if (!isSignedBy(found.signer, DOMAIN, signed, Buffer.from(signature, "base64")))
    throw invalid("it is damaged or forged: the signature does not match");
  return found;
}

function untrusted(by: string): Pg321Error {
  return new Pg321Error("key", `restore result: signed by ${by}, which is not a trusted prover`, {
    hint: "if one of your hosts made it, add this signer to rule.trusted_provers",
  });
}

function invalid(why: string): Pg321Error {
  return new Pg321Error("verification", `restore result: ${why}`);
}
