/**
 * What makes a change happen exactly once although its answer was lost. `calls`: the last transaction of each process,
 * stored with its COMMIT; one that was given up has `is_done` 0. `spools`: the last record of each host's spool that was
 * delivered, changed in the transaction of that record.
 */
export const SPOOLS = `
  CREATE TABLE calls (
    process text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    is_done integer NOT NULL,
    at timestamptz NOT NULL
  );
  CREATE FUNCTION refuse_given_up_call() RETURNS trigger LANGUAGE plpgsql SET search_path = pg321 AS $trigger$
  BEGIN
    IF NEW.number <= OLD.number THEN
      RAISE EXCEPTION 'call % of % was given up', NEW.number, NEW.process;
    END IF;
    RETURN NEW;
  END $trigger$;
  CREATE TRIGGER calls_in_order BEFORE UPDATE ON calls FOR EACH ROW EXECUTE FUNCTION refuse_given_up_call();

  CREATE TABLE spools (
    id text COLLATE "C" PRIMARY KEY,
    host text COLLATE "C" NOT NULL,
    delivered bigint NOT NULL,
    delivered_at timestamptz NOT NULL
  );
`;
