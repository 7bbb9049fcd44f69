/** What a catalog of very many backups looks like. */
export interface Shape {
  backups: number;
  databases: number;
  /** `server-0` and so on, with an equal share of the databases each; if not given, one named `main`. */
  servers?: number;
  /** `keep.days` of every storage. */
  days: number;
  /** Time from one backup to the next; 17 minutes if not given. */
  secondsApart?: number;
  /** More TOML: top-level tables. */
  more?: string;
  /** Of an empty database for the catalog; if not given, it is a file of SQLite. */
  url?: string;
}
