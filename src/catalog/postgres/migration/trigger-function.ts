/** A function for triggers on the rows of one table, whose statements find the tables whatever the session has set. */
export const triggerFunction = (name: string, body: string): string => `
  CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg321 AS $trigger$
  BEGIN ${body}
    RETURN NULL;
  END $trigger$;`;
