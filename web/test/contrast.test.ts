// Tests that the colours keep WCAG AA contrast in both themes: 4.5:1 for text, 3:1 for borders of controls.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const css = readFileSync(new URL('../src/styles/tokens.css', import.meta.url), 'utf8');
const [lightCss = '', darkCss = ''] = css.split('@media (prefers-color-scheme: dark)');
const colours = (text: string) => new Map(Array.from(text.matchAll(/--([a-z0-9-]+): (#[0-9a-f]{6})/g), (m) => [m[1] as string, m[2] as string]));
const light = colours(lightCss);
const themes = { light, dark: new Map([...light, ...colours(darkCss)]) };

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

const TEXT: [string, string][] = [
  ...['paper', 'surface', 'sunken'].flatMap((ground) => [['ink', ground], ['ink-2', ground], ['accent', ground]] as [string, string][]),
  ['on-accent', 'accent'],
  ['on-accent', 'accent-strong'],
  ['accent', 'accent-soft'],
  ['danger', 'surface'],
  ['danger', 'danger-soft'],
  ['warn', 'surface'],
  ['warn', 'warn-soft'],
];
const EDGES: [string, string][] = [
  ['line-strong', 'surface'],
  ['line-strong', 'paper'],
];

describe.each(Object.entries(themes))('%s theme', (_name, theme) => {
  const ratio = ([front, ground]: [string, string]) => contrast(theme.get(front) ?? '', theme.get(ground) ?? '');
  it.each(TEXT)('%s on %s is readable', (...pair) => expect(ratio(pair)).toBeGreaterThanOrEqual(4.5));
  it.each(EDGES)('%s on %s is visible', (...pair) => expect(ratio(pair)).toBeGreaterThanOrEqual(3));
});
