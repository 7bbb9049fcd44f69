import SCHEMA from "../../config.schema.json" with { type: "text" };

/** The JSON Schema of the config, for editors; `scripts/config` makes it. */
export const CONFIG_SCHEMA: string = SCHEMA as unknown as string;
