/** An RFC 3339 time as Unix time in seconds. */
export function unixTime(time: string | null): number | null {
  return time === null ? null : Date.parse(time) / 1000;
}

export function seconds(durationMs: number | null): number | null {
  return durationMs === null ? null : durationMs / 1000;
}
