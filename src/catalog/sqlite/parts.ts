import type { Database } from "bun:sqlite";
import type { ClockRecords } from "../clock-records.ts";
import type { Slots } from "../fleet/slots.ts";
import type { HostExports } from "../host-exports.ts";
import type { Hosts } from "../hosts.ts";
import type { LockProbes } from "../lock-probes.ts";
import type { Overview } from "../overview.ts";
import type { RecoveryKits } from "../recovery-kits.ts";
import type { RestoreTests } from "../restore-tests.ts";
import type { RuleMarks } from "../rule-marks.ts";
import type { ScratchDatabases } from "../scratch-databases.ts";
import type { Identities } from "../storages/identities.ts";
import type { Listings } from "../storages/listings.ts";
import type { Usage } from "../usage.ts";
import type { Verification } from "../verification.ts";
import type { Do } from "./busy.ts";
import { SqliteClockRecords } from "./clock-records.ts";
import { SqliteHosts } from "./fleet/hosts.ts";
import { SqliteSlots } from "./fleet/slots.ts";
import { SqliteHostExports } from "./host-exports.ts";
import { SqliteOverview } from "./overview.ts";
import { SqliteLockProbes } from "./proof/lock-probes.ts";
import { SqliteRecoveryKits } from "./proof/recovery-kits.ts";
import { SqliteRestoreTests } from "./proof/restore-tests.ts";
import { SqliteRuleMarks } from "./proof/rule-marks.ts";
import { SqliteScratchDatabases } from "./proof/scratch-databases.ts";
import { SqliteIdentities } from "./storages/identities.ts";
import { SqliteListings } from "./storages/listings.ts";
import { sqliteUsage } from "./usage.ts";
import { SqliteVerification } from "./verification.ts";

/** The parts of the catalog that are interfaces of their own. */
export class SqliteParts {
  readonly overview: Overview;
  readonly clockRecords: ClockRecords;
  readonly hostExports: HostExports;
  readonly hosts: Hosts;
  readonly slots: Slots;
  readonly identities: Identities;
  readonly listings: Listings;
  readonly lockProbes: LockProbes;
  readonly recoveryKits: RecoveryKits;
  readonly restoreTests: RestoreTests;
  readonly ruleMarks: RuleMarks;
  readonly usage: Usage;
  readonly verification: Verification;
  readonly scratchDatabases: ScratchDatabases;

  constructor(database: Database, whileFree: Do) {
    this.overview = new SqliteOverview(database, whileFree);
    this.clockRecords = new SqliteClockRecords(database, whileFree);
    this.hostExports = new SqliteHostExports(database, whileFree);
    this.hosts = new SqliteHosts(database, whileFree);
    this.slots = new SqliteSlots(database, whileFree);
    this.identities = new SqliteIdentities(database, whileFree);
    this.listings = new SqliteListings(database, whileFree);
    this.lockProbes = new SqliteLockProbes(database, whileFree);
    this.recoveryKits = new SqliteRecoveryKits(database, whileFree);
    this.restoreTests = new SqliteRestoreTests(database, whileFree);
    this.ruleMarks = new SqliteRuleMarks(database, whileFree);
    this.usage = sqliteUsage(database, whileFree);
    this.verification = new SqliteVerification(database, whileFree);
    this.scratchDatabases = new SqliteScratchDatabases(database, whileFree);
  }
}
