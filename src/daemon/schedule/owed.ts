import type { Schedule } from "../../jobs/schedules.ts";

/**
 * What the runs that wait for their turn do once a new config is in force. A database that it moves to another schedule
 * stays with the run that was due for it, so that a reload costs no run; unless a run of that other schedule waits as
 * well, which then includes it. A database without a schedule is dropped. `current`: all schedules of the new config.
 */
export function owedAfterReload(waiting: readonly Schedule[], current: readonly Schedule[]): Schedule[] {
  const names = new Set(waiting.map(({ name }) => name));
  return waiting.map((run) => {
    const own = current.find(({ name }) => name === run.name);
    const others = current.filter(({ job, name }) => job === run.job && !names.has(name));
    const isOwed: Schedule["selects"] = (...database) =>
      run.selects(...database) && others.some(({ selects }) => selects(...database));
    return {
      ...(own ?? run),
      selects: (...database) => own?.selects(...database) === true || isOwed(...database),
    };
  });
}
