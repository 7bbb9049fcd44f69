import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { plural } from "../base/text/amounts.ts";
import { spoolOf } from "../catalog/open.ts";
import { refusedName, refusedRecords } from "../catalog/spool/refused.ts";
import type { CatalogFacts } from "../catalog/sqlite/examine.ts";
import type { Config } from "../config/config.ts";
import { loadKeys } from "../jobs/keys.ts";
import { otherSigner, otherSignerError, refuseAmong } from "../jobs/register-host.ts";
import type { Seen } from "./finding.ts";
import { failed, warning } from "./finding.ts";

/** At most this many are named; the others are counted. */
const NAMED_MAX = 3;

/** Records of this host's spool that the catalog refused and nobody has acknowledged. */
export async function lookAtRefused(config: Config, clock: Clock): Promise<Seen[]> {
  if (config.catalog.type === "sqlite") return [];
  const refused = (await refusedRecords(spoolOf(config).path, clock)).filter((one) => one.is_reported);
  if (refused.length === 0) return [];
  const named = refused
    .slice(0, NAMED_MAX)
    .map(({ number, call, error }) => `${number} ${refusedName(call)} (${error})`);
  const more = refused.length > NAMED_MAX ? `, and ${refused.length - NAMED_MAX} more` : "";
  return [
    warning(
      `refused ${plural(refused.length, "record")} of this host: ${named.join(", ")}${more}`,
      "record what the storages have of these backups: sudo pg321 cleanup --adopt; then acknowledge the records: sudo pg321 catalog refused ack all",
    ),
  ];
}

/** Whether this host fits to its catalog and to the other hosts that have it: otherwise its daemon would not start. */
export async function lookAtFleet(
  config: Config,
  { hosts, installation }: Pick<CatalogFacts, "hosts" | "installation">,
): Promise<Seen[]> {
  if (installation === undefined) return [];
  // Keys that cannot be read are another finding of doctor's.
  const { signingKey } = await loadKeys(config.encryption).catch(() => ({ signingKey: undefined }));
  const own = { config, host: config.fleet.host, installation, keys: { signingKey } };
  try {
    refuseAmong(own, hosts);
  } catch (error) {
    if (!(error instanceof Pg321Error)) throw error;
    return [failed(error.code, error.message, error.hint)];
  }
  const other = otherSigner(own, hosts);
  if (other !== undefined) {
    const { message, hint } = otherSignerError(config, other);
    return [warning(message, hint)];
  }
  if (!signingKey || signingKey.installation === installation) return [];
  return [
    warning(
      `belongs to installation ${installation}, but the signing key to ${signingKey.installation}`,
      "set encryption.signing_key_file to the key of this catalog's installation, or catalog.path to the catalog of the key's",
    ),
  ];
}
