import { Pg321Error } from "../../base/errors.ts";
import { isInstallation } from "../../sealed/metadata.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { manifestKey } from "../copies/object-key.ts";
import { readManifestText } from "../copies/stored-object.ts";
import { ownershipOf } from "../ownership.ts";
import type { Holdings } from "./marker-verdict.ts";

/** How many of the newest copies are checked: somebody may have removed one of them. */
const LOOKED_FOR = 3;
/** How many objects of an unknown place are searched for a manifest. */
const LISTED_MAX = 200;

/** How the objects of a place without a marker match the catalog's records. Throws what the storage throws. */
export async function holdingsOf(context: JobContext, storage: Storage): Promise<Holdings> {
  const own = await recordedIn(context, storage, storage.name);
  if (own !== "none") return { recorded: own };
  const formerName = await formerNameOf(context, storage);
  if (formerName !== undefined) return { recorded: "none", formerName };
  const foreign = await foreignIn(context, storage);
  return { recorded: "none", ...(foreign !== undefined && { foreign }) };
}

async function recordedIn(
  { catalog, signal }: JobContext,
  storage: Storage,
  name: string,
): Promise<Holdings["recorded"]> {
  const keys = await catalog.identities.newestKeys(name, LOOKED_FOR);
  for (const key of keys) if (await storage.head(key, signal)) return "there";
  return keys.length === 0 ? "none" : "gone";
}

/** A name from before markers existed that is no longer in the config and whose newest copies are here. */
async function formerNameOf(context: JobContext, storage: Storage): Promise<string | undefined> {
  const { catalog, clock, config } = context;
  const { others } = await ownershipOf(context);
  const configured = [...config.storage, ...others.flatMap(({ storages }) => storages)].map(
    ({ name }) => name,
  );
  const marked = (await catalog.identities.all()).map(({ name }) => name);
  const withCopies = (await catalog.overview.copyTotals(clock.now())).filter(({ copies }) => copies > 0);
  for (const name of new Set(withCopies.map((total) => total.storage))) {
    if (configured.includes(name) || marked.includes(name)) continue;
    if ((await recordedIn(context, storage, name)) === "there") return name;
  }
  return undefined;
}

/** The installation in the first manifest found in the place, if it is not ours. */
async function foreignIn(context: JobContext, storage: Storage): Promise<string | undefined> {
  const { installation, signal } = context;
  let listed = 0;
  for await (const { key } of storage.list("", signal, { pageSize: LISTED_MAX + 1 })) {
    if (++listed > LISTED_MAX) return undefined;
    if (!key.endsWith(manifestKey(""))) continue;
    const named = installationIn(await textIn(storage, key.slice(0, -manifestKey("").length), signal));
    if (named !== undefined) return named === installation ? undefined : named;
  }
  return undefined;
}

/** The manifest's text. Undefined if it is not text: a file that is only named like a manifest. */
async function textIn(storage: Storage, key: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await readManifestText(storage, key, signal);
  } catch (error) {
    if (error instanceof Pg321Error && error.code === "verification") return undefined;
    throw error;
  }
}

/** The text is not trusted, because anybody with write access may have written it; only a valid id is taken from it. */
function installationIn(text: string | undefined): string | undefined {
  try {
    const { installation } = JSON.parse(text ?? "") as { installation?: unknown };
    return typeof installation === "string" && isInstallation(installation) ? installation : undefined;
  } catch {
    return undefined;
  }
}
