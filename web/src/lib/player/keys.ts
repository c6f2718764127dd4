// Which key does what on the watch page; pure, so that the help text and the behaviour come from one table.

export type Command =
  | { do: 'toggle' | 'mute' | 'fullscreen' | 'picture-in-picture' | 'help' }
  | { do: 'seek'; by: number }
  | { do: 'volume'; by: number }
  | { do: 'speed'; by: 1 | -1 }
  | { do: 'jump'; to: number };

/** What a key press carries that matters here. */
export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

const COMMANDS: Record<string, Command> = {
  ' ': { do: 'toggle' },
  k: { do: 'toggle' },
  j: { do: 'seek', by: -10 },
  l: { do: 'seek', by: 10 },
  ArrowLeft: { do: 'seek', by: -5 },
  ArrowRight: { do: 'seek', by: 5 },
  ArrowUp: { do: 'volume', by: 0.1 },
  ArrowDown: { do: 'volume', by: -0.1 },
  m: { do: 'mute' },
  f: { do: 'fullscreen' },
  p: { do: 'picture-in-picture' },
  '<': { do: 'speed', by: -1 },
  '>': { do: 'speed', by: 1 },
  Home: { do: 'jump', to: 0 },
  End: { do: 'jump', to: 1 },
  '?': { do: 'help' },
};

/** The command of a key, or null. Keys with Ctrl, Alt or Command belong to the browser. */
export function commandFor(press: Press): Command | null {
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  if (/^[0-9]$/.test(press.key)) return { do: 'jump', to: Number(press.key) / 10 };
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return COMMANDS[key] ?? null;
}

/** Rows of the help: keys, and what they do. */
export const HELP: [string[], string][] = [
  [['Space', 'K'], 'Play or pause'],
  [['J', 'L'], 'Back or forward 10 seconds'],
  [['←', '→'], 'Back or forward 5 seconds'],
  [['↑', '↓'], 'Louder or quieter'],
  [['0', '–', '9'], 'Jump to 0 % – 90 %'],
  [['<', '>'], 'Slower or faster'],
  [['M'], 'Sound on or off'],
  [['F'], 'Full screen'],
  [['P'], 'Picture in picture'],
  [['?'], 'This help'],
];
