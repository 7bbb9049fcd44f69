const KEY = "host ";

/** The key of the alert about a host of the fleet. */
export function hostKey(host: string): string {
  return `${KEY}${host}`;
}

/** Whether an alert of this key is about a host of the fleet. */
export function isHostKey(key: string): boolean {
  return key.startsWith(KEY);
}

/** The host that an alert of this key is about. */
export function hostOfKey(key: string): string {
  return key.slice(KEY.length);
}
