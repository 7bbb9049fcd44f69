import { access, constants } from "node:fs/promises";
import { dirname } from "node:path";
import { patternHint } from "../alerts/selection-alerts.ts";
import type { Clock } from "../base/clock.ts";
import { EXIT_CODES } from "../base/errors.ts";
import { requireAnswer } from "../base/files/place.ts";
import { userName } from "../base/process/become-user.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { HostExport } from "../catalog/host-exports.ts";
import { catalogText, examineCatalog, LOST_HINT } from "../catalog/open.ts";
import type { RecoveryKitRecord, SealedBackups } from "../catalog/recovery-kits.ts";
import { certificateFiles, certificateProblems, namedCertificates } from "../config/certificate-files.ts";
import type { Config, ServerConfig } from "../config/config.ts";
import { idlePatterns } from "../config/idle-patterns.ts";
import { UNUSABLE_HINT, unusableText } from "../config/set-aside.ts";
import type { SurveyedFile } from "../install/host-files/survey.ts";
import { installedUnit, UNIT_FILE } from "../install/packaged.ts";
import { lookAtNeededIdentities } from "./backup-identities.ts";
import { lookAtCopies } from "./copies.ts";
import { lookAtOwnDirectory } from "./directories.ts";
import type { Finding, Seen } from "./finding.ts";
import { AREAS, failed, look, ok, warning } from "./finding.ts";
import { lookAtFleet, lookAtRefused } from "./fleet.ts";
import { lookAtExport, lookAtHostFiles } from "./host-files.ts";
import { probeLocks } from "./immutability.ts";
import { lookAtIdentity, lookAtSigningKey } from "./keys.ts";
import { lookAtMemory } from "./memory.ts";
import { lookAtNotifier } from "./notifiers.ts";
import { lookAtRecoveryKit } from "./recovery-kit.ts";
import { lookAtRestoreTests } from "./restore-test.ts";
import type { ServerLook } from "./server.ts";
import { lookAtDatabase, lookAtServer } from "./server.ts";
import type { KnownStorages } from "./storage.ts";
import { lookAtStorage } from "./storage.ts";
import { lookAtUnit } from "./unit.ts";

export interface DoctorOptions {
  config: Config;
  /** Files that the config reads values from. */
  valueFiles: readonly string[];
  /** The files that a new host needs, read as root if root runs this. */
  hostFiles: readonly SurveyedFile[];
  /** The identity file's text, if root read it before switching to the service's user. */
  identityText: string | undefined;
  /** Root's findings about the credentials that the running service has. */
  credentials: readonly Seen[];
  /** Whether each notifier gets a test notice. */
  sendsTest: boolean;
  /** Whether storages with immutable copies are probed: this writes objects and records. */
  probesLocks: boolean;
  clock: Clock;
  signal: AbortSignal;
}

/**
 * Checks everything that the config names, as the current user, and writes nothing but probes. Each check has 10 s and runs
 * even if others fail; checks on different machines run in parallel.
 */
export async function examine(options: DoctorOptions): Promise<Finding[]> {
  const config = usableConfig(options.config);
  const probed = options.probesLocks ? await probeLocks({ ...options, config }) : [];
  const known = await knownStorages(options);
  // These read local disks and may block: they run first, so that they delay no answer from another machine.
  const here = [...(await lookAtHost({ ...options, config })), ...(await lookAtKeys(options, known.sealed))];
  const host = await look({ area: "host", subject: "files", code: "usage" }, options, async () => [
    ...lookAtHostFiles(options.hostFiles),
    ...(known.recoveryKit === undefined ? [] : lookAtRecoveryKit(options.config, known.recoveryKit)),
    ...(known.hostExport === undefined ? [] : lookAtExport(options.hostFiles, known.hostExport)),
  ]);
  const [servers, storages, places, notifiers] = await Promise.all([
    Promise.all(config.server.map((server) => lookAtServerWhole(options, server))),
    Promise.all(
      config.storage.map((storage) =>
        look({ area: "storage", subject: storage.name, code: "storage" }, options, (signal) =>
          lookAtStorage(storage, known, options, signal),
        ),
      ),
    ),
    look({ area: "storage", subject: "3-2-1", code: "usage" }, options, (signal) =>
      lookAtCopies(config, options.clock, signal),
    ),
    lookAtNotifiers({ ...options, config }, known.installation ?? ""),
  ]);
  const largestBytes = Math.max(0, ...servers.map(({ largestBytes: bytes }) => bytes));
  const memory = await look({ area: "memory", subject: "backup", code: "usage" }, options, () =>
    lookAtMemory(config, largestBytes),
  );
  const majors = servers.flatMap(({ major }) => major ?? []);
  const restoreTests = await look(
    { area: "restore-test", subject: "restore_test.server", code: "database" },
    options,
    () => lookAtRestoreTests(config, majors),
  );
  const findings = [
    ...here,
    ...host,
    ...places,
    ...storages.flat(),
    ...probed,
    ...notifiers,
    ...servers.flatMap((one) => one.findings),
    ...restoreTests,
    ...memory,
    ...lookAtPatterns(
      config,
      servers.flatMap((one) => one.databases),
    ),
  ];
  return withoutDoubts(findings).sort((a, b) => AREAS.indexOf(a.area) - AREAS.indexOf(b.area));
}

/** Without the device of a storage that failed: an empty mount point says nothing about the disk that belongs there. */
function withoutDoubts(findings: readonly Finding[]): Finding[] {
  const failures = new Set(
    findings.flatMap(({ area, subject, verdict }) =>
      area === "storage" && verdict === "failed" ? subject : [],
    ),
  );
  return findings.filter((one) => !(one.message.startsWith(SAME_DEVICE) && failures.has(one.subject)));
}

/** How the finding about a storage on the disk of a server begins. */
const SAME_DEVICE = "on the same device as the data of server ";

/** Without the tables that lack a value from outside: the check of the config reports them. */
function usableConfig(config: Config): Config {
  const isUsable = (kind: string) => (table: { name: string }) =>
    !config.unusable.some((one) => one.kind === kind && one.name === table.name);
  return {
    ...config,
    server: config.server.filter(isUsable("server")),
    storage: config.storage.filter(isUsable("storage")),
    notify: config.notify.filter(isUsable("notify")),
  };
}

/** A failure that stops everything comes before one of a single server, and that before one of a single storage. */
const GRAVEST_FIRST = ["bug", "usage", "key", "database", "storage"] as const;

/** The exit code of the gravest failure; 0 if nothing failed. */
export function doctorExitCode(findings: readonly Finding[]): number {
  const codes = findings.flatMap(({ code }) => code ?? []);
  const gravest = GRAVEST_FIRST.find((code) => codes.includes(code)) ?? codes[0];
  return gravest === undefined ? EXIT_CODES.ok : EXIT_CODES[gravest];
}

async function lookAtHost(options: DoctorOptions): Promise<Finding[]> {
  const { config } = options;
  const own = (subject: "state_dir" | "temp_dir") =>
    look({ area: "directories", subject, code: "storage" }, options, () =>
      lookAtOwnDirectory(config[subject]),
    );
  const findings = await Promise.all([
    look({ area: "config", subject: config.file, code: "usage" }, options, (signal) =>
      lookAtConfig(options, signal),
    ),
    own("state_dir"),
    own("temp_dir"),
    look({ area: "catalog", subject: catalogText(config.catalog), code: "storage" }, options, () =>
      lookAtCatalog(options),
    ),
    look({ area: "unit", subject: installedUnit() ?? UNIT_FILE, code: "usage" }, options, () =>
      lookAtUnit(options),
    ),
  ]);
  return findings.flat();
}

/**
 * The config's warnings, and the files that the service cannot read. The service's environment and credentials are
 * unknown here.
 */
async function lookAtConfig({ config, valueFiles }: DoctorOptions, signal: AbortSignal): Promise<Seen[]> {
  const seen = [
    ...config.unusable.map((one) =>
      failed("usage", `${unusableText(one)}; so the service cannot start`, UNUSABLE_HINT),
    ),
    ...config.warnings.map((text) => warning(text)),
  ];
  const user = userName();
  const needed = [config.file, ...valueFiles];
  for (const file of new Set([...needed, ...certificateFiles(config)])) {
    await requireAnswer(file, file, signal);
    if (await isReadable(file)) continue;
    const end = needed.includes(file) ? ", so the service cannot start" : "";
    const hint = `chgrp ${user} ${shellQuoted(file)} && chmod 0640 ${shellQuoted(file)}`;
    seen.push(
      failed("usage", `user "${user}" cannot read ${file === config.file ? "it" : file}${end}`, hint),
    );
  }
  for (const { file, problem, hint } of await certificateProblems(namedCertificates(config), signal))
    if (await isReadable(file)) seen.push(failed("usage", `${file}: ${problem}`, hint));
  return seen.length > 0 ? seen : [ok("valid")];
}

async function isReadable(file: string): Promise<boolean> {
  return access(file, constants.R_OK).then(
    () => true,
    () => false,
  );
}

interface KnownByCatalog extends KnownStorages {
  /** The last export of the host's files: null if there was none, undefined if that is not known. */
  hostExport: HostExport | null | undefined;
  /** Likewise. */
  recoveryKit: RecoveryKitRecord | null | undefined;
  /** Undefined if it is not known. */
  sealed: SealedBackups[] | undefined;
}

/** `lookAtCatalog` reports a catalog that cannot be read. */
async function knownStorages({ config, clock }: DoctorOptions): Promise<KnownByCatalog> {
  const { catalog, storage } = config;
  const about = { configured: storage.map(({ name }) => name), isShared: catalog.type === "postgres" };
  try {
    const facts = await examineCatalog(catalog, { clock, host: config.fleet.host });
    const { identities = [], installation, hostExport = null, recoveryKit = null, sealed } = facts ?? {};
    const { probes = [], hosts = [] } = facts ?? {};
    const others = hosts.filter(({ host }) => host !== config.fleet.host);
    return { ...about, others, identities, installation, hostExport, recoveryKit, sealed, probes };
  } catch {
    const unknown = { installation: undefined, hostExport: undefined, recoveryKit: undefined };
    return { ...about, identities: [], ...unknown, sealed: undefined, probes: [] };
  }
}

async function lookAtCatalog({ config, clock }: DoctorOptions): Promise<Seen[]> {
  const { catalog } = config;
  if (catalog.type === "sqlite") await requireAnswer(catalog.path, dirname(catalog.path));
  const facts = await examineCatalog(catalog, { clock, host: config.fleet.host });
  if (!facts) return [ok("does not exist yet: the first command creates it")];
  const { version, knownVersion, damage } = facts;
  if (damage.length > 0) {
    return [failed("storage", `damaged: ${damage.join("; ")}`, LOST_HINT)];
  }
  if (catalog.type === "sqlite" && !(await isWritableFile(catalog.path)))
    return [
      failed(
        "storage",
        `user "${userName()}" cannot write to it`,
        `chown ${userName()} ${shellQuoted(catalog.path)}*`,
      ),
    ];
  const next = `the next command ${catalog.type === "sqlite" ? "makes a copy of it and " : ""}upgrades it`;
  const older = version < knownVersion ? `; ${next} to version ${knownVersion}` : "";
  return [
    ok(`intact, version ${version}${older}`),
    ...(await lookAtFleet(config, facts)),
    ...(await lookAtRefused(config, clock)),
  ];
}

async function isWritableFile(path: string): Promise<boolean> {
  return access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

async function lookAtNotifiers(options: DoctorOptions, installation: string): Promise<Finding[]> {
  const { notify } = options.config;
  if (notify.length === 0) {
    const hint = "add a [[notify]] to the config: docs/alerts.md";
    const none = warning("no notifier: nobody will be told when a backup fails", hint);
    return [{ area: "notify", subject: "alerts", ...none }];
  }
  const found = notify.map((one) =>
    look({ area: "notify", subject: one.name, code: "storage" }, options, (signal) =>
      lookAtNotifier(one, { ...options, host: options.config.fleet.host, installation }, signal),
    ),
  );
  return (await Promise.all(found)).flat();
}

async function lookAtKeys(
  options: DoctorOptions,
  sealed: readonly SealedBackups[] | undefined,
): Promise<Finding[]> {
  const { config, identityText } = options;
  const { signing_key_file, identity_file } = config.encryption;
  const findings = await Promise.all([
    look({ area: "keys", subject: signing_key_file, code: "key" }, options, () =>
      lookAtSigningKey(config.encryption),
    ),
    identity_file === undefined
      ? look({ area: "keys", subject: "identity_file", code: "key" }, options, async () => [
          ok("not on this host: it can make backups but not open them"),
          ...lookAtNeededIdentities(sealed, "elsewhere"),
        ])
      : look({ area: "keys", subject: identity_file, code: "key" }, options, () =>
          lookAtIdentity(config, identity_file, identityText, sealed),
        ),
  ]);
  return findings.flat();
}

interface Place {
  server: string;
  database: string;
}

async function lookAtServerWhole(
  options: DoctorOptions,
  server: ServerConfig,
): Promise<{ findings: Finding[]; largestBytes: number; databases: Place[]; major?: number | undefined }> {
  let found: ServerLook | undefined;
  const findings = await look(
    { area: "server", subject: server.name, code: "database" },
    options,
    async () => {
      found = await lookAtServer(options.config, server);
      return found.seen;
    },
  );
  if (!found) return { findings, largestBytes: 0, databases: [] };
  let largestBytes = 0;
  // One after the other, to put little load on a busy server.
  for (const database of found.databases) {
    const at = { area: "server", subject: `${server.name}/${database}`, code: "database" } as const;
    const seen = await look(at, options, async () => {
      const looked = await lookAtDatabase(server, database);
      largestBytes = Math.max(largestBytes, looked.bytes);
      return looked.seen;
    });
    findings.push(...seen);
  }
  const message = `${SAME_DEVICE}"${server.name}": one broken disk destroys both, and a full one stops the server`;
  for (const subject of found.storagesOnDevice)
    findings.push({ area: "storage", subject, ...warning(message, "put the storage on a separate disk") });
  const databases = found.databases.map((database) => ({ server: server.name, database }));
  return { findings, largestBytes, databases, major: found.major };
}

/**
 * Patterns of overrides and notifiers that match no database; databases of servers that did not answer are left out.
 */
function lookAtPatterns(config: Config, databases: readonly Place[]): Finding[] {
  return idlePatterns(config, databases).map(({ holder, written }) => ({
    area: "config",
    subject: config.file,
    ...warning(`"${written}" in ${holder} matches no database`, patternHint(written)),
  }));
}
