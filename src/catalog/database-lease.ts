/** The lease that a job holds while it changes the backups of a database. */
export function leaseName(server: string, database: string): string {
  return `${server}/${database}`;
}

/** The lease that a run holds from its beginning to its end, so that others know that it goes on. */
export function runLeaseName(id: string): string {
  return `run ${id}`;
}

/** Whether it is a run's: the name of a database's has a slash. */
export function isRunLease(name: string): boolean {
  return /^run [^/]*$/.test(name);
}
