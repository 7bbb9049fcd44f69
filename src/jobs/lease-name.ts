/** The lease that a job holds while it changes the backups of a database. */
export function leaseName(server: string, database: string): string {
  return `${server}/${database}`;
}
