import * as v from "valibot";
import { Pg321Error } from "../base/errors.ts";
import { MANIFEST_BYTES_MAX } from "../base/limits.ts";
import { exactText } from "../base/text/utf8.ts";
import { isBase64Of } from "./base64.ts";
import { parseCompact } from "./json.ts";
import { compression, count, faultyMembers, kind, name, signer, text, utcTime, uuid } from "./metadata.ts";
import type { SigningKey } from "./signing-key.ts";
import { isSignedBy, requireTrusted, SIGNATURE_BYTES } from "./signing-key.ts";

const DOMAIN = "pg321 manifest 1 signature\n";

/** Keys, order and null as in the file. */
const entries = {
  installation: uuid,
  backup_id: uuid,
  server: name,
  database: name,
  kind,
  started_at: utcTime,
  finished_at: utcTime,
  object_key: text(1024),
  object_bytes: count,
  object_sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  dump_bytes: count,
  compression,
  encryption: v.picklist(["age", "none"]),
  server_version: v.nullable(text(255)),
  pg_dump_version: v.nullable(text(255)),
  pg321_version: text(255),
  previous_id: v.nullable(uuid),
  /** Contents that a reader of the bucket must not see, made by `sealDetails`. */
  details: v.optional(text(MANIFEST_BYTES_MAX)),
};
const fieldsSchema = v.object(entries);
const schema = v.object({
  manifest: v.literal(1),
  ...entries,
  signer: v.optional(signer),
  signature: v.optional(
    v.pipe(
      v.string(),
      v.check((text) => isBase64Of(text, SIGNATURE_BYTES)),
    ),
  ),
});

export type ManifestFields = v.InferOutput<typeof fieldsSchema>;

export interface Manifest extends ManifestFields {
  /** Undefined if it is not signed. */
  signer: string | undefined;
  /** False only for an unencrypted backup: then anyone with write access to the storage may have made it. */
  signed: boolean;
}

/** The manifest's exact text: compact JSON, signed if there is a key. An encrypted backup needs one. */
export function encodeManifest(fields: ManifestFields, signingKey: SigningKey | undefined): string {
  const unsigned = { manifest: 1, ...inOrder(fields) };
  if (signingKey === undefined) {
    if (fields.encryption !== "none")
      throw new Error("the manifest of an encrypted backup needs a signing key");
    return bounded(JSON.stringify(unsigned));
  }
  const body = { ...unsigned, signer: signingKey.signer };
  const signature = signingKey.sign(DOMAIN, Buffer.from(JSON.stringify(body)));
  return bounded(JSON.stringify({ ...body, signature: Buffer.from(signature).toString("base64") }));
}

/** Validated, in the schema's order, without members unknown to the schema. */
function inOrder(fields: ManifestFields): Record<string, unknown> {
  const valid: Record<string, unknown> = v.parse(fieldsSchema, fields);
  return Object.fromEntries(Object.keys(entries).flatMap((key) => (key in valid ? [[key, valid[key]]] : [])));
}

function bounded(encoded: string): string {
  if (Buffer.byteLength(encoded) > MANIFEST_BYTES_MAX) throw new Error("the manifest is too large");
  return encoded;
}

/**
 * Reads a manifest. Throws code `verification` if it is damaged, forged or not a manifest, code `key` if its signer
 * is not trusted. The caller decides whether to accept one that is not `signed`.
 */
export function decodeManifest(encoded: string, trustedSigners: readonly string[]): Manifest {
  const parsed = parseMembers(encoded);
  const result = v.safeParse(schema, parsed);
  if (!result.success) throw invalid(`it has no valid ${faultyMembers(result.issues)}`);
  const { manifest: _, signature, signer: signedBy, ...fields } = result.output;
  if (signedBy === undefined && signature === undefined) {
    if (fields.encryption !== "none")
      throw invalid("the manifest of an encrypted backup must be signed, but it is not");
    return { ...fields, signer: undefined, signed: false };
  }
  if (signedBy === undefined || signature === undefined)
    throw invalid("it has only one of signer and signature");
  requireTrusted("manifest", signedBy, trustedSigners);
  const { signature: _signature, ...body } = parsed;
  const bytes = Buffer.from(JSON.stringify(body));
  if (!isSignedBy(signedBy, DOMAIN, bytes, Buffer.from(signature, "base64"))) {
    throw invalid("it is damaged or forged: the signature does not match");
  }
  return { ...fields, signer: signedBy, signed: true };
}

/** The text of a stored manifest. Throws code `verification` if the bytes are not one. */
export function manifestText(bytes: Uint8Array): string {
  if (bytes.length > MANIFEST_BYTES_MAX) throw invalid("it is too large");
  const text = exactText(bytes);
  if (text === undefined) throw invalid("it is not UTF-8");
  return text;
}

function parseMembers(encoded: string): Record<string, unknown> {
  if (Buffer.byteLength(encoded) > MANIFEST_BYTES_MAX) throw invalid("it is too large");
  const members = parseCompact(encoded, (why) => invalid(`it ${why}`));
  if (typeof members["manifest"] === "number" && members["manifest"] > 1) {
    throw new Pg321Error(
      "verification",
      `manifest: its version is ${members["manifest"]}, this pg321 reads 1`,
      {
        hint: "use the pg321 that wrote it or a newer one",
      },
    );
  }
  return members;
}

function invalid(why: string): Pg321Error {
  return new Pg321Error("verification", `manifest: ${why}`, {
    hint: "use the manifest in another storage; pg321 repair replaces a damaged one",
  });
}
