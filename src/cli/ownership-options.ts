import type { Ownership } from "../postgres/restore/ownership.ts";
import type { Arguments, Option } from "./command.ts";
import { isSet, textOption, textOptions } from "./command.ts";

/** The options of `restore` for servers whose administrator is no superuser. */
export const OWNERSHIP_OPTIONS: Record<string, Option> = {
  "no-owner": { type: "boolean", help: "everything belongs to the role that restores" },
  role: {
    type: "string",
    value: "NAME",
    help: "restore as this role (SET ROLE), of which the login role is a member",
  },
  "no-privileges": { type: "boolean", help: "no GRANT and REVOKE, no default privileges" },
  "no-comments": { type: "boolean", help: "no comments, such as those on extensions of an administrator" },
  "skip-extension": {
    type: "string",
    multiple: true,
    value: "NAME",
    help: "do not restore this extension; objects that need it are left out if the target lacks it (may be repeated)",
  },
};

export function ownershipOf(args: Arguments): Ownership {
  return {
    noOwner: isSet(args, "no-owner"),
    role: textOption(args, "role"),
    noPrivileges: isSet(args, "no-privileges"),
    noComments: isSet(args, "no-comments"),
    skipExtensions: textOptions(args, "skip-extension"),
  };
}
