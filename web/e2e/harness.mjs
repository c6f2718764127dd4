// What every part of the browser test needs: the browser, a watchful page, and the tally.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const need = (name) => process.env[name] ?? fail(`${name} is not set`);
function fail(message) {
  console.error(message);
  process.exit(2);
}

export const settings = {
  url: new URL(need('THEATRUM_URL')).origin,
  token: need('THEATRUM_TOKEN').trim(),
  sample: need('THEATRUM_SAMPLE'),
  screenshots: need('SCREENSHOTS'),
  patienceMs: Number(process.env.PATIENCE_MS ?? 180_000),
};
mkdirSync(settings.screenshots, { recursive: true });

const FLAGS = [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
export const WIDTHS = { 360: 740, 1440: 900 };
export const SCHEMES = ['light', 'dark'];

export const tally = { passed: 0, failed: 0 };

export function check(name, good, detail = '') {
  if (good) tally.passed += 1;
  else tally.failed += 1;
  console.log(`${good ? 'ok  ' : 'FAIL'} ${name}${good || detail === '' ? '' : `: ${detail}`}`);
}

/** Runs one part; an exception in it is one failure, not the end. */
export async function part(name, run) {
  console.log(`\n# ${name}`);
  try {
    await run();
  } catch (error) {
    check(name, false, String(error?.message ?? error).split('\n').slice(0, 6).join(' | '));
  }
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });

/** Asks the API as the administrator, and gives what it answers; null where that is nothing. */
export async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${settings.token}`, 'content-type': 'application/json' };
  const answer = await fetch(`${settings.url}${path}`, { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

/** Waits until `condition` holds; if it never does, it fails with `complaint`. */
export async function until(condition, complaint, timeoutMs = 20_000) {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(complaint());
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** A page whose errors, policy violations and requests are all noted. */
export async function watchedPage(browser, { width = 1440, scheme = 'light' } = {}) {
  const context = await browser.newContext({ viewport: { width, height: WIDTHS[width] ?? 900 }, colorScheme: scheme });
  const page = await context.newPage();
  const errors = [];
  const origins = new Set();
  let allowed = null;
  const note = (text) => {
    if (allowed?.pattern.test(text)) allowed.seen += 1;
    else errors.push(text);
  };
  /** Refusals by address, less those that the console has told of: either may be heard of first. */
  const untold = new Map();
  const count = (url, by) => untold.set(url, (untold.get(url) ?? 0) + by);
  const waiting = () => [...untold].filter(([, refusals]) => refusals > 0).map(([url]) => url);
  page.on('response', (answer) => {
    if (answer.status() >= 400) count(answer.url(), 1);
  });
  await page.exposeFunction('noteViolation', (text) => note(`policy violation: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.noteViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    const { url } = message.location();
    note(`console: ${message.text()} (${url})`);
    count(url, -1);
  });
  page.on('pageerror', (error) => note(`exception: ${error.stack ?? error.message}`));
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith('http')) origins.add(origin);
  });
  page.setDefaultTimeout(20_000);
  return {
    context, page, errors, origins,
    /**
     * Runs a step in which some errors are the point of it: at least one must come. The console tells of them in its own
     * time, a frame's by another way than the page's, so the step ends when every refusal has been told of.
     */
    async allowing(pattern, step) {
      allowed = { pattern, seen: 0 };
      untold.clear();
      try {
        const result = await step();
        await until(() => allowed.seen > 0 && waiting().length === 0, () => `the console never told of ${waiting().join(', ') || pattern}`);
        return result;
      } finally {
        allowed = null;
      }
    },
    checkClean(name) {
      check(`${name}: no console error, no policy violation`, errors.length === 0, errors.join(' ; '));
    },
  };
}

export async function signIn(page, token = settings.token) {
  await page.getByLabel('Access token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const networks = new WeakMap();

/** Slows uploads down so that they can be looked at, or takes the network away; null takes the brake off. */
export async function network(page, { uploadBytesPerSecond = null, offline = false } = {}) {
  let client = networks.get(page);
  if (!client) {
    client = await page.context().newCDPSession(page);
    networks.set(page, client);
    await client.send('Network.enable');
  }
  await client.send('Network.emulateNetworkConditions', {
    offline, latency: 0, downloadThroughput: -1, uploadThroughput: uploadBytesPerSecond ?? -1,
  });
}

/** Photographs the page as it is in every width and scheme; none may be wider than the window. */
export async function gallery(page, name) {
  for (const [width, height] of Object.entries(WIDTHS)) {
    for (const scheme of SCHEMES) {
      await page.setViewportSize({ width: Number(width), height });
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(`${name} ${width} ${scheme}: nothing overflows`, over <= 0, `${over} px too wide`);
      await page.screenshot({ path: join(settings.screenshots, `${name}-${width}-${scheme}.png`) });
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
}

export const player = (page) => page.locator('[data-player]');

/** What the <video> says. */
export const media = (page) =>
  page.locator('video').evaluate((v) => ({
    time: v.currentTime, duration: v.duration, paused: v.paused, ended: v.ended, muted: v.muted, rate: v.playbackRate,
    side: Math.min(v.videoWidth, v.videoHeight), frames: v.getVideoPlaybackQuality().totalVideoFrames,
    seeking: v.seeking, loaded: v.readyState >= 2,
  }));

/** Waits until what `media` says fulfils `condition`; returns it. */
export async function whenMedia(page, condition, timeoutMs = 30_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const now = await media(page);
    if (condition(now)) return now;
    if (Date.now() > end) throw new Error(`the video never fulfilled ${condition}: ${JSON.stringify(now)}`);
    await page.waitForTimeout(50);
  }
}

/** Waits until the player says that it is in one of `states`. */
export const whenState = (page, ...states) =>
  page
    .waitForFunction((wanted) => wanted.includes(document.querySelector('[data-player]')?.dataset.state), states, { timeout: 30_000 })
    .catch(async (cause) => {
      const found = await page.evaluate(() => ({
        state: document.querySelector('[data-player]')?.dataset.state ?? 'absent',
        focus: document.activeElement?.tagName,
      }));
      throw new Error(`the player never was ${states.join(' or ')}: ${JSON.stringify(found)}`, { cause });
    });
