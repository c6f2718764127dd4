// Tests of the player's tables: keys, speeds, and what is worth resuming.
import { describe, expect, it } from 'vitest';
import { ApiError } from '../src/lib/api';
import { underOwnName } from '../src/lib/player/address';
import { commandFor, HELP } from '../src/lib/player/keys';
import { worthResuming } from '../src/lib/player/position';
import { refusalWords } from '../src/lib/player/refusal';
import { nextSpeed } from '../src/lib/player/speeds';

const press = (key: string, held = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...held });

describe('keys', () => {
  it.each([
    [' ', { do: 'toggle' }],
    ['K', { do: 'toggle' }],
    ['j', { do: 'seek', by: -10 }],
    ['l', { do: 'seek', by: 10 }],
    ['7', { do: 'jump', to: 0.7 }],
    ['<', { do: 'speed', by: -1 }],
    ['?', { do: 'help' }],
    ['x', null],
    ['Enter', null],
  ])('%j', (key, command) => expect(commandFor(press(key))).toEqual(command));

  it('leaves the browser its own', () => {
    expect(commandFor(press('l', { ctrlKey: true }))).toBeNull();
    expect(commandFor(press('f', { metaKey: true }))).toBeNull();
  });

  it('does everything the help promises', () => {
    const named: Record<string, string> = { Space: ' ', '←': 'ArrowLeft', '→': 'ArrowRight', '↑': 'ArrowUp', '↓': 'ArrowDown' };
    for (const key of HELP.flatMap(([keys]) => keys).filter((key) => key !== '–')) {
      expect(commandFor(press(named[key] ?? key)), key).not.toBeNull();
    }
  });
});

describe('speeds', () => {
  it('go up and down and stop at the ends', () => {
    expect([nextSpeed(1, 1), nextSpeed(1, -1), nextSpeed(2, 1), nextSpeed(0.5, -1), nextSpeed(1.1, 1)]).toEqual([1.25, 0.75, 2, 0.5, 1.25]);
  });
});

describe('worthResuming', () => {
  it.each([
    [2, 600, false],
    [12, 30, true],
    [28, 30, false],
    [590, 600, false],
    [3000, 3600, true],
    [3575, 3600, false],
    [10, Number.NaN, false],
  ])('%s of %s: %s', (at, duration, worth) => expect(worthResuming(at, duration)).toBe(worth));
});

describe('underOwnName', () => {
  const page = { origin: 'http://localhost:8080', hostname: 'localhost', port: '8080' };
  it.each([
    ['http://127.0.0.1:8080/t/x/master.m3u8', 'http://localhost:8080/t/x/master.m3u8'],
    ['http://127.0.0.1:9090/t/x/master.m3u8', 'http://127.0.0.1:9090/t/x/master.m3u8'],
    ['https://video.example.org/t/x/master.m3u8', 'https://video.example.org/t/x/master.m3u8'],
  ])('%s', (url, given) => expect(underOwnName(url, page)).toBe(given));
});

describe('a refusal', () => {
  const words = (status: number, code: string) => refusalWords(new ApiError(status, code, 'what the server said'));

  it('says what to do about a link that is over', () => {
    expect(words(401, 'token-expired')).toMatch(/expired.*Reload the page/);
    expect(words(403, 'token-other-video')).toMatch(/does not open this video/);
  });
  it('does not speak of roles', () => {
    expect(words(403, 'not-allowed')).toMatch(/not any more\. Ask its owner/);
    expect(words(404, 'not-found')).toMatch(/not there any more, or not open to you/);
  });
  it('leaves the rest to the server, and what is no answer at all to a reload', () => {
    expect(words(403, 'origin-not-allowed')).toBe('what the server said');
    expect(refusalWords(new TypeError('x is undefined'))).not.toMatch(/undefined/);
  });
});
