import { shellQuoted } from "../../base/text/shell.ts";
import type { S3StorageConfig, StorageConfig } from "../../config/config.ts";
import { fullKey } from "../../storage/key.ts";

/** The stock tools that can fetch an object from an S3 storage. */
export type FetchTool = "curl" | "rclone" | "aws";
export const FETCH_TOOLS: readonly FetchTool[] = ["curl", "rclone", "aws"];

/** The shell variables with the access key of each S3 storage: `R2_KEY_ID` and `R2_SECRET_KEY`. */
export function keyVariables(storages: readonly StorageConfig[]): ReadonlyMap<string, KeyVariables> {
  const found = new Map<string, KeyVariables>();
  for (const [index, { name, type }] of storages.entries()) {
    if (type !== "s3") continue;
    const word = name.toUpperCase().replace(/[^A-Z0-9]/g, "_");
    const stem = /^[A-Z]/.test(word) ? word : `S_${word}`;
    const isTaken = [...found.values()].some((one) => one.id === `${stem}_KEY_ID`);
    const unique = isTaken ? `${stem}_${index + 1}` : stem;
    found.set(name, { id: `${unique}_KEY_ID`, secret: `${unique}_SECRET_KEY` });
  }
  return found;
}

export interface KeyVariables {
  id: string;
  secret: string;
}

/** Asks for an access key: one line, because a pasted second line would be taken for the answer. */
export function askForKey(storage: string, { id, secret }: KeyVariables): string {
  const ask = (what: string) => shellQuoted(`${what} of storage ${storage}: `);
  return `read -r -p ${ask("access key id")} ${id}; read -r -s -p ${ask("secret access key")} ${secret}; echo`;
}

/** Copies an object of a directory to the working directory. */
export function copyCommand(path: string, key: string, file: string): string {
  return `cp ${shellQuoted(`${path}/${key}`)} ${shellQuoted(file)}`;
}

/** Fetches an object from a bucket. The secrets come from variables and are never arguments of a program. */
export function fetchCommands(
  storage: S3StorageConfig,
  key: string,
  file: string,
  variables: KeyVariables,
): Record<FetchTool, string[]> {
  const { region, bucket, endpoint } = storage;
  const object = fullKey(storage.prefix, key);
  const secrets = `AWS_ACCESS_KEY_ID="$${variables.id}" AWS_SECRET_ACCESS_KEY="$${variables.secret}"`;
  const to = shellQuoted(file);
  return {
    curl: [
      `printf 'user = "%s:%s"\\n' "$${variables.id}" "$${variables.secret}" |`,
      `    curl -K - --fail --aws-sigv4 ${shellQuoted(`aws:amz:${region}:s3`)} \\`,
      `    -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \\`,
      `    -o ${to} \\`,
      `    ${shellQuoted(objectUrl(storage, object))}`,
    ],
    rclone: [
      `${secrets} \\`,
      `    rclone copyto ${shellQuoted(rcloneSource(storage, object))} \\`,
      `    ${to}`,
    ],
    aws: [
      `${secrets} \\`,
      `    aws --endpoint-url ${shellQuoted(endpoint)} --region ${region} \\`,
      `    s3 cp ${shellQuoted(`s3://${bucket}/${object}`)} ${to}`,
    ],
  };
}

/** Lists the newest objects of a database in a bucket. */
export function listCommand(storage: S3StorageConfig, folder: string, variables: KeyVariables): string[] {
  const secrets = `AWS_ACCESS_KEY_ID="$${variables.id}" AWS_SECRET_ACCESS_KEY="$${variables.secret}"`;
  return [
    `${secrets} \\`,
    `    rclone lsf ${shellQuoted(rcloneSource(storage, fullKey(storage.prefix, folder)))} | tail -n 6`,
  ];
}

/** A manifest is written after its object, so it belongs to a whole one; results of restore tests are no manifests. */
const IS_MANIFEST = String.raw`\.dump(\.zst|\.gz)?(\.enc)?\.json$`;

/** Fetches the newest backup in a folder and its manifest, whose name is then in `$manifest`. */
export function newestCommands(
  storage: StorageConfig,
  folder: string,
  variables: KeyVariables | undefined,
): string[] {
  const newest = `grep -E '${IS_MANIFEST}' | sort | tail -n 1)`;
  if (storage.type === "local")
    return [
      `folder=${shellQuoted(`${storage.path}/${folder}`)}`,
      `manifest=$(ls -1 "$folder" | ${newest}`,
      'cp "$folder/$manifest" "$folder/$(basename "$manifest" .json)" .',
    ];
  const secrets = `AWS_ACCESS_KEY_ID="$${variables?.id}" AWS_SECRET_ACCESS_KEY="$${variables?.secret}"`;
  return [
    `folder=${shellQuoted(rcloneSource(storage, fullKey(storage.prefix, folder)))}`,
    `manifest=$(${secrets} \\`,
    `    rclone lsf "$folder" | ${newest}`,
    'for name in "$manifest" "$(basename "$manifest" .json)"; do',
    `    ${secrets} rclone copyto "$folder/$name" "$name"`,
    "done",
  ];
}

function rcloneSource(storage: S3StorageConfig, object: string): string {
  const { provider, endpoint, region, bucket, path_style } = storage;
  const options = [
    `provider=${provider === "aws" ? "AWS" : "Other"}`,
    "env_auth=true",
    `endpoint="${endpoint}"`,
    `region=${region}`,
    `force_path_style=${path_style}`,
  ];
  return `:s3,${options.join(",")}:${bucket}/${object}`;
}

function objectUrl({ endpoint, bucket, path_style }: S3StorageConfig, object: string): string {
  const base = new URL(endpoint);
  const root = base.pathname.replace(/\/+$/, "");
  const path = object.split("/").map(encoded).join("/");
  return path_style
    ? `${base.origin}${root}/${bucket}/${path}`
    : `${base.protocol}//${bucket}.${base.host}${root}/${path}`;
}

/** As S3 signs it: everything but unreserved characters is percent-encoded. */
function encoded(component: string): string {
  return encodeURIComponent(component).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
