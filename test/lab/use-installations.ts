import { afterAll, afterEach, beforeAll } from "bun:test";
import { fillSampleDatabase } from "./data/sample-database.ts";
import { Installation, type InstallationOptions, localStorage } from "./installation.ts";
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

/** The one installation of a test file: it may back up every database of the server, to one directory. */
export function useInstallation(
  postgres: PostgresForTests,
  more: Partial<InstallationOptions> = {},
): () => Installation {
  let installation: Installation | undefined;
  beforeAll(async () => {
    installation = await Installation.make({
      postgres: postgres.address,
      databases: ["*"],
      storages: (directory) => [localStorage("disk", directory)],
      ...more,
    });
  });
  afterAll(() => installation?.[Symbol.asyncDispose]());
  return () => {
    if (!installation) throw new Error("the installation is not made yet");
    return installation;
  };
}
