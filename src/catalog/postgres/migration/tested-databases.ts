import {
  dropUntested,
  fillTested,
  RECOVERIES,
  testedTable,
  wasUnshown,
  whereTested,
} from "../../sqlite/migration/tested-databases.ts";
import { triggerFunction } from "./trigger-function.ts";

const WORDS = {
  object: (pairs: string) => `json_build_object(${pairs})::text`,
  list: "json_agg(one::json)::text",
  least: "least",
  since: `(recoveries::json -> ${RECOVERIES - 1} ->> 'finished_at')`,
  position: "strpos",
};

/** As in SQLite. The row is locked before the tests are read, so that what is read includes those of all others before. */
export const TESTED_DATABASES = `${testedTable("")}
  INSERT INTO tested_databases (server, database) SELECT DISTINCT server, database FROM restore_tests;
  ${fillTested("", WORDS)}
  ${triggerFunction(
    "settle_tested",
    `DECLARE test record;
    BEGIN
      IF TG_OP = 'DELETE' THEN test := OLD; ELSE test := NEW; END IF;
      PERFORM 1 FROM tested_databases ${whereTested("test")} FOR UPDATE;
      IF NOT FOUND THEN
        INSERT INTO tested_databases (server, database) VALUES (test.server, test.database)
          ON CONFLICT (server, database) DO UPDATE SET server = excluded.server;
      END IF;
      IF TG_OP = 'DELETE' AND ${wasUnshown("test", WORDS)} THEN RETURN NULL; END IF;
      ${fillTested(whereTested("test"), WORDS)} ${dropUntested(whereTested("test"))}
    END;`,
  )}
  CREATE TRIGGER restore_tests_tested AFTER INSERT OR UPDATE OR DELETE ON restore_tests
    FOR EACH ROW EXECUTE FUNCTION settle_tested();
`;
