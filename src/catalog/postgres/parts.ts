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
import { PostgresClockRecords } from "./clock-records.ts";
import { PostgresHosts } from "./fleet/hosts.ts";
import { PostgresSlots } from "./fleet/slots.ts";
import { PostgresHostExports } from "./host-exports.ts";
import { PostgresOverview } from "./overview.ts";
import { PostgresLockProbes } from "./proof/lock-probes.ts";
import { PostgresRecoveryKits } from "./proof/recovery-kits.ts";
import { PostgresRestoreTests } from "./proof/restore-tests.ts";
import { PostgresRuleMarks } from "./proof/rule-marks.ts";
import { PostgresScratchDatabases } from "./proof/scratch-databases.ts";
import { PostgresIdentities } from "./storages/identities.ts";
import { PostgresListings } from "./storages/listings.ts";
import type { Do } from "./transactions.ts";
import { postgresUsage } from "./usage.ts";
import { PostgresVerification } from "./verification.ts";

/** The parts of the catalog that are interfaces of their own. */
export class PostgresParts {
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

  constructor(transact: Do, readAtOneMoment: Do) {
    this.overview = new PostgresOverview(transact, readAtOneMoment);
    this.clockRecords = new PostgresClockRecords(transact);
    this.hostExports = new PostgresHostExports(transact);
    this.hosts = new PostgresHosts(transact);
    this.slots = new PostgresSlots(transact);
    this.identities = new PostgresIdentities(transact);
    this.listings = new PostgresListings(transact);
    this.lockProbes = new PostgresLockProbes(transact);
    this.recoveryKits = new PostgresRecoveryKits(transact);
    this.restoreTests = new PostgresRestoreTests(transact);
    this.ruleMarks = new PostgresRuleMarks(transact);
    this.usage = postgresUsage(transact);
    this.verification = new PostgresVerification(transact);
    this.scratchDatabases = new PostgresScratchDatabases(transact);
  }
}
