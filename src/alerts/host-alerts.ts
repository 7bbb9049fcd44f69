/** The key of the alert about a host of the fleet. */
export function hostKey(host: string): string {
  return `host ${host}`;
}

/** Whether an alert of this key is about a host of the fleet. */
export function isHostKey(key: string): boolean {
  return /^host \S+$/.test(key);
}
