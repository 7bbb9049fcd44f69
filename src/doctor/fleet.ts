import { Pg321Error } from "../base/errors.ts";
import type { CatalogFacts } from "../catalog/sqlite/examine.ts";
import type { Config } from "../config/config.ts";
import { loadKeys } from "../jobs/keys.ts";
import { otherSigner, otherSignerError, refuseAmong } from "../jobs/register-host.ts";
import type { Seen } from "./finding.ts";
import { failed, warning } from "./finding.ts";

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
