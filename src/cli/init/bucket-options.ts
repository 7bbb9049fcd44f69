import { Pg321Error } from "../../base/errors.ts";
import { S3_PROVIDERS } from "../../config/config.ts";
import type { Invocation } from "../command.ts";
import { textOption } from "../command.ts";

/** Without an answer the questions offer this one. */
export const DEFAULT_PROVIDER = "backblaze-b2";

/** The option that says where a provider's buckets are. */
export function placeOption(provider: string): "account-id" | "endpoint" | "region" {
  if (provider === "cloudflare-r2") return "account-id";
  return ["minio", "ceph", "generic"].includes(provider) ? "endpoint" : "region";
}

/** Throws code `usage` for options of a bucket without a bucket, and for missing ones that no question asks for. */
export function requireBucketOptions(args: Invocation["arguments"], isAsking: boolean): void {
  const has = (option: string) => textOption(args, option) !== undefined;
  const provider = textOption(args, "provider") ?? DEFAULT_PROVIDER;
  if (!S3_PROVIDERS.some((known) => known === provider)) {
    throw new Pg321Error("usage", `init: --provider "${provider}" is unknown`, {
      hint: `one of ${S3_PROVIDERS.join(", ")}`,
    });
  }
  const place = ["provider", "region", "endpoint", "account-id"];
  const key = ["access-key-id", "secret-access-key-file"];
  if (!has("bucket")) {
    const given = [...place, ...key].find(has);
    if (given === undefined) return;
    throw new Pg321Error("usage", `init: --${given} is about a bucket, but --bucket is missing`, {
      hint: "add --bucket NAME",
    });
  }
  const missing = isAsking ? [] : [placeOption(provider), ...key].filter((option) => !has(option));
  if (missing.length === 0) return;
  const list = missing.map((option) => `--${option}`).join(", ");
  throw new Pg321Error("usage", `init: --yes asks no questions, and a bucket of ${provider} needs ${list}`);
}
