import { mkdir, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { PART_BYTES_MIN } from "../../base/limits.ts";
import { silentLog } from "../../base/log.ts";
import { sizeText } from "../../base/text/amounts.ts";
import { S3_PROVIDERS, type StorageConfig } from "../../config/config.ts";
import { loadConfig, processSource } from "../../config/load.ts";
import { canService, SERVICE_USER } from "../../install/host.ts";
import { removeObject } from "../../jobs/copies/removal.ts";
import { openStorage } from "../../storage/registry.ts";
import { partsOf } from "../../stream/part.ts";
import type { Invocation } from "../command.ts";
import { textOption } from "../command.ts";
import type { Values } from "./answers.ts";
import { backupsOf } from "./answers.ts";
import { DEFAULT_PROVIDER, placeOption } from "./bucket-options.ts";
import type { Draft } from "./draft.ts";
import type { Prompts } from "./prompts.ts";
import { secretIn } from "./secret-file.ts";

const DISK = "disk";
const CLOUD = "cloud";
const SERVICE_PATH = "/var/backups/pg321";

/** Asks for a directory and, if wanted, a bucket; each is tried before it is taken. */
export async function askStorages(draft: Draft, prompts: Prompts, invocation: Invocation): Promise<void> {
  draft.answers.storages.push(await askDirectory(draft, prompts, invocation));
  const { arguments: args } = invocation;
  const hasBucket = textOption(args, "bucket") !== undefined;
  if (
    !hasBucket &&
    !(await prompts.confirm("Add a bucket of an S3 storage, for copies off this site?", false))
  ) {
    if (prompts.isAsking) prompts.warn("without a copy off-site, a fire or a thief takes the backups too");
    return;
  }
  for (;;) {
    const bucket = await bucketValues(draft, prompts, invocation);
    const { problem, left } = await triedOut(bucket, draft, invocation);
    if (problem === undefined) {
      const done = left === undefined ? "written, read and removed" : "written and read";
      prompts.good(`bucket "${bucket["bucket"]}": an object was ${done}`);
      if (left !== undefined) prompts.warn(left);
      draft.answers.storages.push(bucket);
      return;
    }
    prompts.bad(problem);
    if (hasBucket || !(await prompts.confirm("Try again?", true))) {
      if (hasBucket)
        throw new Pg321Error("storage", "init: the bucket cannot be used; nothing was installed");
      return;
    }
  }
}

async function askDirectory(
  draft: Draft,
  prompts: Prompts,
  { arguments: args }: Invocation,
): Promise<Values> {
  const { directory } = draft.places;
  const given = textOption(args, "storage");
  const byDefault = directory === undefined ? SERVICE_PATH : backupsOf(directory);
  for (;;) {
    const path = given ?? (await prompts.text("Directory for backups", byDefault));
    const problem = await directoryProblem(path, draft);
    if (problem === undefined) {
      const free = await statfs(await nearest(path)).then(({ bavail, bsize }) => bavail * bsize);
      prompts.good(`${path}: ${sizeText(free)} free`);
      return { name: DISK, type: "local", path };
    }
    if (given !== undefined) throw new Pg321Error("storage", `init: ${path}: ${problem}`);
    prompts.bad(`${path}: ${problem}`);
    if (!prompts.isAsking) throw new Pg321Error("storage", `init: ${path}: ${problem}`);
  }
}

/** The reason for which backups cannot be written there. A directory that is missing is made at the end. */
async function directoryProblem(path: string, { places }: Draft): Promise<string | undefined> {
  if (!isAbsolute(path)) return "it must be an absolute path";
  try {
    const entries = await readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (places.directory === undefined) {
      if (entries === undefined || entries.length === 0 || (await canService("drwx", path))) return undefined;
      return `it is not empty, and ${SERVICE_USER} cannot write to it`;
    }
    if (entries === undefined) await mkdir(path, { recursive: true, mode: 0o700 });
    const probe = join(path, `.pg321-init-${crypto.randomUUID()}`);
    await writeFile(probe, "", { flag: "wx" });
    await rm(probe);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** The path, or the nearest directory above it that exists. */
async function nearest(path: string): Promise<string> {
  return stat(path).then(
    () => path,
    () => nearest(dirname(path)),
  );
}

async function bucketValues(
  draft: Draft,
  prompts: Prompts,
  { arguments: args }: Invocation,
): Promise<Values> {
  const value = async (option: string, question: string, byDefault = "") =>
    textOption(args, option) ?? (await prompts.text(question, byDefault));
  const given = textOption(args, "provider");
  const provider = given ?? (await prompts.choice("Provider", S3_PROVIDERS, DEFAULT_PROVIDER));
  const where = placeOption(provider);
  const place: Values =
    where === "account-id"
      ? { account_id: await value(where, "Account id") }
      : where === "endpoint"
        ? {
            endpoint: await value(where, "Endpoint (https://…)"),
            region: textOption(args, "region") ?? "us-east-1",
          }
        : { region: await value(where, "Region") };
  const bucket = await value("bucket", "Bucket");
  const id = await value("access-key-id", "Access key id");
  const file = textOption(args, "secret-access-key-file");
  const secret =
    file === undefined
      ? await prompts.secret("Secret access key")
      : await secretIn(file, "secret-access-key-file");
  return {
    ...{ name: CLOUD, type: "s3", provider, ...place, bucket },
    access_key_id: await draft.addCredential(`${CLOUD}-id`, id),
    secret_access_key: await draft.addCredential(`${CLOUD}-secret`, secret),
  };
}

/** Checks the settings, then writes a small object, reads it, and removes it. */
async function triedOut(
  bucket: Values,
  draft: Draft,
  invocation: Invocation,
): Promise<{ problem?: string; left?: string | undefined }> {
  const answers = { ...draft.answers, storages: [...draft.answers.storages, bucket] };
  try {
    const findings = await draft.examine("storage", answers);
    const failed = findings.find(({ subject, verdict }) => subject === CLOUD && verdict === "failed");
    if (failed)
      return { problem: failed.hint === null ? failed.message : `${failed.message}\n${failed.hint}` };
    const config = await loadConfig(draft.places.draftFile, processSource());
    const storage = config.storage.find(({ name }) => name === CLOUD);
    return { left: storage && (await probe(storage, invocation)) };
  } catch (error) {
    invocation.signal.throwIfAborted();
    const hint = error instanceof Pg321Error ? error.hint : undefined;
    return { problem: hint === undefined ? messageOf(error) : `${messageOf(error)}\n${hint}` };
  }
}

/** What is left of the probe: a key without the right to delete is no mistake, it protects the backups. */
async function probe(config: StorageConfig, { clock, signal }: Invocation): Promise<string | undefined> {
  await using storage = await openStorage({ ...config, attempts: 2 }, { log: silentLog, clock });
  const key = `init/probe-${crypto.randomUUID()}`;
  const body = partsOf(new TextEncoder().encode("pg321 init tries whether it can write here.\n"));
  await storage.put(key, body, { signal, partBytes: PART_BYTES_MIN });
  if ((await storage.head(key, signal)) === undefined)
    throw new Pg321Error("storage", `storage "${config.name}": an object that was written cannot be found`);
  const reason = { why: "probe", probe: { storage: storage.name, object_key: key } } as const;
  try {
    await removeObject(storage, key, reason, signal);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return `it may not delete objects, which protects backups but keeps expired ones too; ${key} stays there (${messageOf(error)})`;
  }
}
