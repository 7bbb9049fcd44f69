import { afterEach, beforeAll } from "bun:test";
import { fillSampleDatabase } from "./data/sample-database.ts";
import { Installation } from "./installation.ts";
import type { PostgresForTests } from "./servers/use-postgres.ts";

/** A test file's installations of one sample database, each removed after its test. */
export interface InstallationsForTests {
  /** The sample database's name. */
  readonly source: string;
  install(storages: (directory: string) => string[]): Promise<Installation>;
  /** Does something after the test, before earlier objects are removed. */
  undo(step: () => Promise<unknown>): void;
}

export function useInstallations(postgres: PostgresForTests): InstallationsForTests {
  let source = "";
  const steps: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    source = await postgres.createDatabase();
    await fillSampleDatabase(postgres.connect(source));
  });
  afterEach(async () => {
    for (const step of steps.splice(0).reverse()) await step();
  });
  return {
    get source() {
      return source;
    },
    async install(storages) {
      const { address } = postgres;
      const installation = await Installation.make({ postgres: address, databases: [source], storages });
      steps.push(() => installation[Symbol.asyncDispose]());
      return installation;
    },
    undo: (step) => void steps.push(step),
  };
}
