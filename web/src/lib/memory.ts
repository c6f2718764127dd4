// What the page remembers in this browser, where that is allowed: every read may find nothing, no write may fail.

/** Reads a JSON value; `undefined` when it is absent, damaged or storage is forbidden. */
export function recall<T>(key: string): T | undefined {
  try {
    const text = localStorage.getItem(key);
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}

/** Keeps a JSON value. A full or forbidden storage loses a convenience, not the page. */
export function keep(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Private windows may forbid storage: then nothing is remembered.
  }
}

export function forget(key: string): void {
  try {
    localStorage.removeItem(key);
  } catch {
    // As above.
  }
}

/** True when this browser lets the page remember anything at all. */
export function canRemember(): boolean {
  try {
    return typeof localStorage.length === 'number';
  } catch {
    return false;
  }
}
